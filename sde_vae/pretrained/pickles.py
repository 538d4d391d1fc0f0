"""Read pickles of numbers without running anything that they name.

A pickle is a program for a small stack machine, which may call any importable function and build objects far larger than the file.
Here the program is split into its operations, and a machine of our own runs the few that files of arrays need. A global in a table
is replaced by a stand-in of this package. The pickle gets no object of numpy or torch. Sizes are checked before anything is built.
Only text and numbers of 64 bits are keys, so that nothing nested is ever hashed, compared or shown.

What is not known is refused. A caller that asks for a part of a file takes an `Opaque` in its place, which matters where it is asked for.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sde_vae.errors import shortened
from sde_vae.pretrained.maps import Stream, view_of
from sde_vae.pretrained.operations import operations
from sde_vae.pretrained.stand_ins import MAX_TUPLE, Opaque, Refused, StandIn, key, outside, refuse, shown

# A state dict takes about forty operations a tensor, a microsecond or two each, and up to 200 bytes of memory.
MAX_OPERATIONS = 400_000
# Bits of a whole number. torch's magic number has 80.
MAX_BITS = 128


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
CONTAINERS = {*EMPTY, *TUPLES, "TUPLE", "APPEND", "APPENDS", "ADDITEMS", "SETITEM", "SETITEMS"}
PUTS, GETS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}, {"BINGET", "LONG_BINGET"}
CALLS = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID"}
# Operations of objects that are no arrays, and the number of what they take from the stack; None is all above the mark.
OBJECTS = {"NEWOBJ": 2, "NEWOBJ_EX": 3, "EMPTY_SET": 0, "FROZENSET": None}


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self, table: Mapping[str, Any], persistent: Callable, unknown: Callable[[str], Any]):
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self._table, self._persistent, self._unknown = table, persistent, unknown

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
        elif name in OBJECTS:
            taken = self.marked() if OBJECTS[name] is None else [self.pop() for _ in range(OBJECTS[name])][::-1]
            known = taken and isinstance(taken[0], Opaque)
            self.stack.append(
                taken[0] if known else self._unknown(f"it uses the operation {name}, which no file of arrays needs")
            )
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
            fits = len(items := self.marked()) <= MAX_TUPLE
            long = f"it holds a tuple of {len(items)} parts, over {MAX_TUPLE}"
            self.stack.append(tuple(items) if fits else self._unknown(long))
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            items = [self.pop()] if name == "APPEND" else self.marked()
            if (target := self.top(list)) is not None:
                target.extend(items)
        else:
            items = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.marked()
            pairs = zip(items[::2], items[1::2], strict=True)
            if (target := self.top(dict)) is not None:
                target |= {self.key(label): value for label, value in pairs}

    def call(self, name: str, argument: Any) -> None:
        """Name a function, call one, set an object's state, or name data outside of the pickle."""
        top = self.pop() if name != "GLOBAL" else argument
        if name == "GLOBAL":
            self.stack.append(self.stand_in(*top.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            self.stack.append(self.stand_in(self.pop(), top))
        elif name == "BINPERSID":
            self.stack.append(self.made(self._persistent, top))
        elif name == "REDUCE":
            function = self.pop()
            if not isinstance(function, StandIn | Opaque) or not isinstance(top, tuple):
                why = f"it calls {shown(function)}, which is no function of a file of arrays"
                self.stack.append(self._unknown(why))
            else:
                self.stack.append(self.made(function, *top))
        elif not hasattr(self.stack[-1], "__setstate__"):
            self.stack[-1] = self._unknown(f"it sets the state of {shown(self.stack[-1])}, which has no state")
        elif isinstance(failed := self.made(self.stack[-1].__setstate__, top), Opaque):
            self.stack[-1] = failed

    def made(self, make: Callable, *args: Any) -> Any:
        """Return make(*args), or what stands for it if that is refused."""
        try:
            return make(*args)
        except Refused as error:
            return self._unknown(str(error))

    def key(self, name: Any) -> str | bytes | int:
        """Return a key of a dict, or what describes one that no file of arrays needs."""
        try:
            return key(name)
        except Refused as error:
            self._unknown(str(error))
            return shown(name)

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
        """Return the top of the stack, which must be of a kind; None if it is opaque, and keeps no items."""
        if isinstance(self.stack[-1], Opaque):
            return None
        if not isinstance(self.stack[-1], kind):
            raise Refused(f"it puts items into {shown(self.stack[-1])}")
        return self.stack[-1]

    def stand_in(self, module: Any, name: Any) -> Any:
        """Return the stand-in of a global, or what stands for one that is not in the table."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("it names a function by something else than text")
        if (full := f"{module}.{name}") not in self._table:
            known = shortened(full if full.isprintable() else ascii(full))
            return self._unknown(f"it calls for {known}, which is no part of a file of arrays, and was not run")
        return self._table[full]


def load(
    stream: Stream,
    table: Mapping[str, Any],
    persistent: Callable[[Any], Any] = outside,
    unknown: Callable[[str], Any] = refuse,
) -> Any:
    """Return the object pickled at the stream's position, and move past it.

    `table` has a stand-in for each global, by its full name. `persistent` returns what a persistent id names. `unknown` gets the reason
    and returns what stands for all else: `refuse` or Opaque. Raises Refused, or any error of a corrupt pickle.
    """
    machine, end = _Machine(table, persistent, unknown), len(view_of(stream))
    for count, (name, argument) in enumerate(operations(stream)):
        if count >= MAX_OPERATIONS:
            raise Refused(f"it is a program of over {MAX_OPERATIONS} operations")
        if name == "LONG1" and argument.bit_length() > MAX_BITS:
            raise Refused(f"it holds a whole number of {argument.bit_length()} bits, over {MAX_BITS}")
        if name in PUTS and (argument or 0) > count:
            raise Refused(f"it puts an object in memo {argument}, but has made {count} at most")
        if name == "FRAME" and argument > (left := end - stream.tell()):
            raise Refused(f"truncated: it declares a part of {argument} bytes, and {left} are left")
        machine.step(name, argument)
    return machine.pop()
