"""What a pickle gets in place of the types and functions that it names, and the few values that it may make."""

from collections.abc import Callable
from typing import Any, NoReturn

from sde_vae.errors import shortened

# Of a tuple: a shape, or the arguments of a call. numpy has as many axes at most. A longer one could be passed on again and again.
MAX_TUPLE = 64
# Of one name: nested dicts, joined by "/".
MAX_NAME = 1000


class Refused(ValueError):
    """A pickle requests something that a file of arrays does not need."""


class Opaque:
    """The stand-in of what is not known. It can be called, take a state and items, and be stored. It does nothing and keeps nothing.

    `why` says what it stands for, for the message if that is asked for.
    """

    __slots__ = ("why",)

    def __init__(self, why: str):
        self.why = why

    def __call__(self, *_: Any) -> "Opaque":
        return self

    def __setstate__(self, state):
        pass


def refuse(why: str) -> NoReturn:
    """Refuse what is not known. `Opaque` is the other choice."""
    raise Refused(why)


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
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise Refused("it makes an OrderedDict in a way we do not know")
    result = Dict()
    for name, item in pairs:
        result[key(name)] = item
    pairs.clear()
    return result


def key(name: Any) -> str | bytes | int:
    """Return a key of a dict. Raises Refused for anything but short text or bytes, and whole numbers."""
    if not isinstance(name, str | bytes | int) or (isinstance(name, str | bytes) and len(name) > MAX_NAME):
        raise Refused(f"a key is {shown(name)}, and not a number or a text of at most {MAX_NAME} characters")
    return name


def shown(value: Any) -> str:
    """Return a value of a pickle for a message: a text or number, cut short, and of all else the type.

    >>> shown("x\\n"), shown((1, 2)), shown(2**100)
    ("'x\\\\n'", 'a tuple', 'an int of 101 bits')
    """
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an int of {value.bit_length()} bits"
    if isinstance(value, str | bytes):
        return shortened(repr(value[:100]), 100)
    return repr(value) if isinstance(value, int | float) or value is None else f"a {type(value).__name__}"


def outside(pid: Any):
    """Refuse a persistent id, which names data outside the pickle."""
    raise Refused(f"it names something outside of itself, {shown(pid)}")
