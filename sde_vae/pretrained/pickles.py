"""Read pickles of numbers without running anything that they name.

A pickle is a program for a small stack machine, which may call any importable function and build objects far larger than the file.
Here `pickletools` splits the program into its operations, and a machine of our own runs the few that files of arrays need. Every
global must be in a table, where it is replaced by a stand-in of this package. The pickle gets no object of numpy or torch. Sizes are
checked before anything is built. Only text and numbers of 64 bits are keys, so that nothing nested is ever hashed, compared or shown.
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from sde_vae.errors import shortened

# A state dict takes about forty operations a tensor, a microsecond or two each, and up to 200 bytes of memory.
MAX_OPERATIONS = 400_000
# Of a tuple: a shape, or the arguments of a call. numpy has as many axes at most. A longer one could be passed on again and again.
MAX_TUPLE = 64
# Of one name: nested dicts, joined by "/".
MAX_NAME = 1000
# Bits of a whole number. torch's magic number has 80.
MAX_BITS = 128


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


class _Mark:
    """Where a tuple, or a run of items, begins on the stack."""


MARK = _Mark()
# Operations that put a number, a text or bytes on the stack: those of protocols 2 to 5.
NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
TEXTS = {"BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
VALUES = {*NUMBERS, *TEXTS, "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": MARK}
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
CONTAINERS = {*EMPTY, *TUPLES, "TUPLE", "APPEND", "APPENDS", "SETITEM", "SETITEMS"}
PUTS, GETS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}, {"BINGET", "LONG_BINGET"}
CALLS = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID"}


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self, table: Mapping[str, Any], persistent: Callable):
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self._table, self._persistent = table, persistent

    def step(self, name: str, argument: Any) -> None:
        """Do one operation. Raises Refused for one that no file of arrays needs, IndexError and KeyError for a corrupt program."""
        if name in VALUES:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in PUTS:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in GETS:
            self.stack.append(self.memo[argument])
        elif name in CONTAINERS:
            self.collect(name)
        elif name in CALLS:
            self.call(name, argument)
        elif name == "POP":
            self.stack.pop()
        elif name.startswith("EXT"):
            raise Refused(f"it calls for extension code {argument}, which is no part of a file of arrays")
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise Refused(f"it uses the operation {name}, which no file of arrays needs")

    def collect(self, name: str) -> None:
        """Make a container, or put items into one."""
        if name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name in TUPLES:
            self.stack.append(tuple([self.pop() for _ in range(TUPLES[name])][::-1]))
        elif name == "TUPLE":
            if len(items := self.marked()) > MAX_TUPLE:
                raise Refused(f"it holds a tuple of {len(items)} parts, over {MAX_TUPLE}")
            self.stack.append(tuple(items))
        elif name in ("APPEND", "APPENDS"):
            items = [self.pop()] if name == "APPEND" else self.marked()
            self.top(list).extend(items)
        else:
            items = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.marked()
            target = self.top(dict)
            for label, value in zip(items[::2], items[1::2], strict=True):
                target[key(label)] = value

    def call(self, name: str, argument: Any) -> None:
        """Name a function, call one, set an object's state, or name data outside of the pickle."""
        top = self.pop() if name != "GLOBAL" else argument
        if name == "GLOBAL":
            self.stack.append(self.stand_in(*top.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            self.stack.append(self.stand_in(self.pop(), top))
        elif name == "BINPERSID":
            self.stack.append(self._persistent(top))
        elif name == "REDUCE":
            function = self.pop()
            if not isinstance(function, StandIn) or not isinstance(top, tuple):
                raise Refused(f"it calls {shown(function)}, which is no function of a file of arrays")
            self.stack.append(function(*top))
        elif not hasattr(self.stack[-1], "__setstate__"):
            raise Refused(f"it sets the state of {shown(self.stack[-1])}, which has no state")
        else:
            self.stack[-1].__setstate__(top)

    def pop(self) -> Any:
        """Take the top of the stack, which must not be a mark."""
        if self.stack[-1] is MARK:
            raise IndexError("the stack is empty above its mark")
        return self.stack.pop()

    def marked(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        items = []
        while (item := self.stack.pop()) is not MARK:
            items.append(item)
        return items[::-1]

    def top(self, kind: type) -> Any:
        """Return the top of the stack, which must be of a kind."""
        if not isinstance(self.stack[-1], kind):
            raise Refused(f"it puts items into {shown(self.stack[-1])}")
        return self.stack[-1]

    def stand_in(self, module: Any, name: Any) -> Any:
        """Return the stand-in of a global. Raises Refused for one that is not in the table."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("it names a function by something else than text")
        if (full := f"{module}.{name}") not in self._table:
            known = shortened(full if full.isprintable() else ascii(full))
            raise Refused(f"it calls for {known}, which is no part of a file of arrays, and was not run")
        return self._table[full]


def load(stream: io.BytesIO, table: Mapping[str, Any], persistent: Callable = outside) -> Any:
    """Return the object pickled at the stream's position, and move past it. Raises Refused, or any error of a corrupt pickle."""
    machine, end = _Machine(table, persistent), len(stream.getbuffer())
    argument: Any
    for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
        name = operation.name
        if count >= MAX_OPERATIONS:
            raise Refused(f"it is a program of over {MAX_OPERATIONS} operations")
        if name == "LONG1" and argument.bit_length() > MAX_BITS:
            raise Refused(f"it holds a whole number of {argument.bit_length()} bits, over {MAX_BITS}")
        if name in PUTS and (argument or 0) > count:
            raise Refused(f"it puts an object in memo {argument}, but has made {count} at most")
        if name == "FRAME" and argument > end - stream.tell():
            raise Refused(f"truncated: it declares a part of {argument} bytes, and {end - stream.tell()} are left")
        machine.step(name, argument)
    return machine.pop()
