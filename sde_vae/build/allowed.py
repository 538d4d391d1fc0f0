"""What a config field takes: its type, its range, and how a value given as text or in another type is read.

whole(1, 64)           a whole number; 1e3 and "1e3" are read as 1000
number(0, 1)           a finite float; whole numbers are read as floats
one_of("vp", "ve")     a name
some_of("vp", "ve")    a tuple of names, perhaps empty
tuple_of(whole(1))     a tuple; one value may stand for the tuple of it
optional(number())     the same, or None
"""

import ast
import math
import numbers
import re
from collections.abc import Callable
from typing import Any, NamedTuple

# The largest whole number of a field without a limit of its own: steps and counts are int32 in compiled programs.
LARGEST = 2**31 - 1
LONGEST = 1024  # characters of a text
LONGEST_PART = 255  # of a name of a file or folder in it, as file systems have it
MOST = 64  # elements of a tuple
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class NotAllowed(ValueError):
    """A value that a field does not take; of a name that is not known, with that name."""


class Allowed(NamedTuple):
    """A range of values: its description, and `read`, which returns a value in the field's own type or raises NotAllowed.

    `names` lists the choices of a field that is a name, or a tuple of names. `read` takes the text of a command line too.
    """

    text: str
    read: Callable[[Any], Any]
    names: tuple[str, ...] = ()


def whole(low: int = 0, high: int = LARGEST, multiple: int = 1) -> Allowed:
    """A whole number from `low` to `high`. A float without a fraction, 1e3, is read as one."""
    text = f"a whole number{f', at least {low}' if high == LARGEST else f' from {low} to {high}'}"
    text += f", a multiple of {multiple}" if multiple > 1 else ""

    def read(value: Any) -> int:
        n = _number(value)
        if int(n) != n or not low <= n <= high or n % multiple:
            raise NotAllowed
        return int(n)

    return Allowed(text, read)


def number(low: int | float, high: int | float, above: bool = False, below: bool = False) -> Allowed:
    """A finite number from `low` to `high`; without `low` itself if it has to lie `above`, without `high` if `below`."""
    text = f"a number {'above' if above else 'from'} {low:g} {'to below' if below else 'to'} {high:g}"

    def read(value: Any) -> float:
        x = float(_number(value))
        if not low <= x <= high or (above and x == low) or (below and x == high):
            raise NotAllowed
        return x

    return Allowed(text, read)


def _number(value: Any) -> int | float:
    """The value as a finite number, from text too."""
    value = _literal(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise NotAllowed
    if not isinstance(value, numbers.Integral):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise NotAllowed
    return value if isinstance(value, float) else int(value)


def _boolean(value: Any) -> bool:
    value = {"true": True, "false": False}.get(value.strip().lower(), value) if isinstance(value, str) else value
    if not isinstance(value, bool):
        raise NotAllowed
    return value


BOOLEAN = Allowed("True or False", _boolean)


def _text(value: Any) -> str:
    # None is the unset text.
    value = "" if value is None else value
    parts = re.split(r"[/\\]", value) if isinstance(value, str) else []
    if not parts or len(value) > LONGEST or max(map(len, parts)) > LONGEST_PART or CONTROL.search(value):
        raise NotAllowed
    return value


TEXT = Allowed(f"text without control characters, at most {LONGEST} characters", _text)


def matching(pattern: str, text: str) -> Allowed:
    """A text that a regular expression matches as a whole, described by `text`; or the empty text."""

    def read(value: Any) -> str:
        value = _text(value)
        if value and not re.fullmatch(pattern, value):
            raise NotAllowed
        return value

    return Allowed(text, read)


def one_of(*names: str) -> Allowed:
    """One of the names."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise NotAllowed
        if value not in names:
            raise NotAllowed(value)
        return value

    return Allowed("one of " + ", ".join(names), read, names)


def some_of(*names: str) -> Allowed:
    """A tuple of the names, each once at most; empty, or None, for none of them."""
    each = tuple_of(one_of(*names), f"a tuple of {', '.join(names)}")

    def read(value: Any) -> tuple:
        found = each.read(value)
        if len(set(found)) != len(found):
            raise NotAllowed
        return found

    return Allowed(each.text, read, names)


def tuple_of(each: Allowed, text: str = "", least: int = 0) -> Allowed:
    """A tuple of `least` values or more. One value stands for the tuple of it, and None for the empty tuple."""

    def read(value: Any) -> tuple:
        value = _literal(value)
        if isinstance(value, str):
            # Names on a command line need no quotes: (alex, vgg).
            value = [word.strip(" '\"") for word in value.strip(" ()[]").split(",") if word.strip()]
        if value is None:
            value = ()
        found = tuple(each.read(v) for v in (value if isinstance(value, list | tuple) else (value,)))
        if not least <= len(found) <= MOST:
            raise NotAllowed
        return found

    return Allowed(text or f"a tuple, each {each.text}" + (f", at least {least}" if least else ""), read)


def one_or_two(each: Allowed) -> Allowed:
    """One value, or a tuple of two; two equal ones are read as one."""

    def read(value: Any) -> Any:
        value = _literal(value)
        if not isinstance(value, list | tuple):
            return each.read(value)
        if len(value) != 2:
            raise NotAllowed
        first, second = map(each.read, value)
        return first if first == second else (first, second)

    return Allowed(f"{each.text}, or two: (height, width)", read)


def optional(allowed: Allowed) -> Allowed:
    """What `allowed` takes, or None."""

    def read(value: Any) -> Any:
        value = _literal(value)
        return None if value is None else allowed.read(value)

    return Allowed(f"{allowed.text}, or None", read, allowed.names)


def _literal(value: Any) -> Any:
    """The value that a text stands for in Python, or the text itself."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value.strip())
    # What the parser raises for text that is no literal, or nested too deep.
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value
