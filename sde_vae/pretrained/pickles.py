"""Pickles of numbers, read without running anything that they name.

A pickle is a program that may call any importable function. Here every global that it names must be in a table, and becomes
an object of ours that can only be called: nothing of numpy's or torch's is ever handed to the pickle. To repeat a call takes
it a few bytes, so what ours are given is kept as it is and not copied.
"""

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

# A state dict takes about forty operations a tensor. Each operation may cost 64 times its byte in memory.
MAX_OPERATIONS = 1_000_000
MEMO = ("PUT", "BINPUT", "LONG_BINPUT")


class Refused(ValueError):
    """The pickle asks for something that a file of arrays has no need of."""


class Sealed:
    """An object of ours in a pickle's hands: it takes no state, and so keeps the one it was made with."""

    __slots__ = ()

    def __setstate__(self, state):
        raise Refused("it changes an object that has no state")


class StandIn(Sealed):
    """What a pickle gets for a global: all it can do is to call it."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable):
        self._make = make

    def __call__(self, *args):
        return self._make(*args)


class Dict(dict):
    """An OrderedDict. torch hangs `_metadata` on its state dicts, which is dropped."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


def ordered(pairs: Any = None) -> Dict:
    """An OrderedDict: empty, or in Python 2 of a list of pairs. The list is emptied, so that it serves once."""
    if pairs is None:
        return Dict()
    if not isinstance(pairs, list):
        raise Refused("it makes an OrderedDict in a way we do not know")
    result = Dict(pairs)
    pairs.clear()
    return result


def outside(pid: Any):
    raise Refused(f"it names something outside of itself, {pid!r}")


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, table: Mapping[str, Any], persistent: Callable):
        super().__init__(stream, encoding="latin1")
        self._table, self._persistent = table, persistent

    def find_class(self, module: str, name: str):
        if (full := f"{module}.{name}") not in self._table:
            raise Refused(f"it calls for {full}, which is no part of a file of arrays, and was not run")
        return self._table[full]

    def persistent_load(self, pid):
        return self._persistent(pid)


def _scan(stream: io.BytesIO) -> None:
    """Raises unless the bytes cover every length and memo number that the pickle names: the unpickler allocates by its word."""
    for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
        if count >= MAX_OPERATIONS:
            raise Refused(f"it is a program of over {MAX_OPERATIONS} operations")
        if operation.name in MEMO and argument > count:
            raise Refused(f"it puts an object in memo {argument}, but has made {count} at most")


def load(stream: io.BytesIO, table: Mapping[str, Any], persistent: Callable = outside) -> Any:
    """The object pickled at the stream's position, which moves past it. Raises Refused, or what a corrupt pickle makes raise."""
    start = stream.tell()
    _scan(stream)
    stream.seek(start)
    return _Unpickler(stream, table, persistent).load()
