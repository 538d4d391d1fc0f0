"""What a command says in one line and an exit code, instead of a traceback."""

import sys
from collections.abc import Callable


class BadInput(ValueError):
    """One line that names the field, the value got, and what is allowed."""


class Diverged(RuntimeError):
    """A loss or a gradient was NaN or infinite."""


def choose(field: str, name: str, table: dict):
    """table[name], or a BadInput that lists the names known."""
    if name not in table:
        raise BadInput(f"{field}: unknown name {name!r}; known: {', '.join(sorted(table))}")
    return table[name]


def exit_code(work: Callable[[], None]) -> int:
    """Of a command that does `work`: 0, or 2 for BadInput and 1 for Diverged, which are told on stderr. All else is a traceback."""
    try:
        work()
    except (BadInput, Diverged) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1
    return 0
