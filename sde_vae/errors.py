"""What a command says in one line and an exit code, instead of a traceback."""

import difflib
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


class BadInput(ValueError):
    """One line that names the field, the value got, and what is allowed."""


class Diverged(RuntimeError):
    """A loss or a gradient was NaN or infinite."""


def choose(field: str, name: str, table: Mapping[str, T]) -> T:
    """Return table[name]. Raises BadInput that names the nearest, and lists all that are known.

    >>> choose("config.sde.name", "vp", {"vp": 1, "ve": 2})
    1
    """
    if name not in table:
        near = difflib.get_close_matches(str(name), table, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise BadInput(f"{field}: unknown name {name!r}{hint}; known: {', '.join(sorted(table))}")
    return table[name]


def exit_code(work: Callable[[], None]) -> int:
    """Do `work` and return the exit code: 0, or 2 for BadInput and 1 for Diverged, printed on stderr. Anything else is a traceback."""
    try:
        work()
    except (BadInput, Diverged) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1
    return 0
