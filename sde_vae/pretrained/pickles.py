"""Read pickles of numbers without running anything that they name.

A pickle is a program that may call any importable function. Here every global that it names must be in a table, where it is
replaced by a stand-in of this package that can only be called. The pickle gets no object of numpy or torch. A pickle repeats a
call in a few bytes. Stand-ins therefore keep their arguments and do not copy them.
"""

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

# A state dict takes about forty operations a tensor. One byte of an operation may take up to 64 bytes of memory.
MAX_OPERATIONS = 1_000_000
MEMO = ("PUT", "BINPUT", "LONG_BINPUT")


class Refused(ValueError):
    """A pickle requests something that a file of arrays does not need."""


class Sealed:
    """Base of the stand-ins: a pickle cannot set their state, so that they keep that of their creation."""

    __slots__ = ()

    def __setstate__(self, state):
        raise Refused("it changes an object that has no state")


class StandIn(Sealed):
    """The replacement of a global of a pickle, which can only be called."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable):
        self._make = make

    def __call__(self, *args):
        return self._make(*args)


class Dict(dict):
    """The stand-in of an OrderedDict. The attribute `_metadata` of torch's state dicts is dropped."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


def ordered(pairs: Any = None) -> Dict:
    """Return an OrderedDict: empty, or (Python 2) of a list of pairs. The list is emptied, so that it is used once."""
    if pairs is None:
        return Dict()
    if not isinstance(pairs, list):
        raise Refused("it makes an OrderedDict in a way we do not know")
    result = Dict(pairs)
    pairs.clear()
    return result


def outside(pid: Any):
    """Refuse a persistent id, which names data outside the pickle."""
    raise Refused(f"it names something outside of itself, {pid!r}")


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, table: Mapping[str, Any], persistent: Callable):
        super().__init__(stream, encoding="latin1")
        self._table, self._persistent = table, persistent

    def find_class(self, module: str, name: str):
        """Return the stand-in of a global. Raises Refused for one that is not in the table."""
        if (full := f"{module}.{name}") not in self._table:
            raise Refused(f"it calls for {full}, which is no part of a file of arrays, and was not run")
        return self._table[full]

    def persistent_load(self, pid):
        """Return the object of a persistent id."""
        return self._persistent(pid)


def _scan(stream: io.BytesIO) -> None:
    """Raise Refused for too many operations, or for a memo number beyond the objects made.

    The unpickler allocates memory for every length and memo number that a pickle declares.
    """
    for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
        if count >= MAX_OPERATIONS:
            raise Refused(f"it is a program of over {MAX_OPERATIONS} operations")
        if operation.name in MEMO and (argument or 0) > count:
            raise Refused(f"it puts an object in memo {argument}, but has made {count} at most")


def load(stream: io.BytesIO, table: Mapping[str, Any], persistent: Callable = outside) -> Any:
    """Return the object pickled at the stream's position, and move past it. Raises Refused, or any error of a corrupt pickle."""
    start = stream.tell()
    _scan(stream)
    stream.seek(start)
    return _Unpickler(stream, table, persistent).load()
