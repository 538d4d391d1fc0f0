"""Errors that a command reports in one line and an exit code, instead of a traceback."""

import difflib
import errno
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import requires
from pathlib import Path
from typing import TypeVar

from sde_vae.printing import printable

T = TypeVar("T")
# Characters of a line that is printed about an error: names and values in it are a file's.
LONGEST = 2000


class BadInput(ValueError):
    """A wrong input, as one line that names the field, the value got and what is allowed."""


class Diverged(RuntimeError):
    """A loss or a gradient was NaN or infinite."""


class NotWritten(RuntimeError):
    """A file could not be written, as one line that names it and gives the reason: a full disk, a missing permission."""


class LostProcess(RuntimeError):
    """Another process of a training over several has ended or failed."""


# Errors whose message is one line for the user.
IN_ONE_LINE = (BadInput, Diverged, NotWritten, LostProcess)

# What a disk or its permissions refuse, and a user can mend.
OF_DISK = {
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EIO"),
        *("ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP", "EMFILE", "ENFILE"),
    )
    if hasattr(errno, name)
}


def choose(field: str, name: str, table: Mapping[str, T]) -> T:
    """Return table[name]. Raises BadInput, which names the nearest known name and lists them all.

    >>> choose("config.sde.name", "vp", {"vp": 1, "ve": 2})
    1
    """
    if name not in table:
        near = difflib.get_close_matches(str(name), table, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise BadInput(f"{field}: unknown name {shortened(repr(name))}{hint}; known: {', '.join(sorted(table))}")
    return table[name]


def shortened(text: str, longest: int = 200) -> str:
    """Return a text that fits a message: with more than `longest` characters, its beginning and its length.

    >>> shortened("abcdef", 3)
    'abc... (6 characters)'
    """
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def reason(error: BaseException) -> str:
    """Return the type of another library's error and the first line of what it says, shortened and printable."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {printable(shortened(lines[0]))}" if lines else type(error).__name__


def exit_code(work: Callable[[], None]) -> int:
    """Call `work` and return the exit code: 0, or 2 for BadInput and 1 for the others IN_ONE_LINE and an OSError of OF_DISK.

    Their messages are printed on stderr, each in one line. Any other exception passes through.

    >>> exit_code(lambda: None)
    0
    """
    try:
        work()
    except IN_ONE_LINE as error:
        return _said(str(error), 2 if isinstance(error, BadInput) else 1)
    except OSError as error:
        if error.errno not in OF_DISK:
            raise
        return _said(f"{error.filename or 'a file'}: {error.strerror}", 1)
    return 0


def _said(message: str, code: int) -> int:
    """Print an error in one line, and return the exit code."""
    print(f"error: {printable(shortened(message, LONGEST))}", file=sys.stderr)
    return code


def missing_package(error: ModuleNotFoundError) -> int:
    """Print one line about a package that a command cannot do without, and return the exit code 2. Raises an error of our own code.

    This module and `sde_vae/__init__.py` need nothing but Python.
    """
    name = (error.name or "").partition(".")[0]
    if name in ("", "sde_vae"):
        raise error
    print(
        f"error: {name} is not installed; activate the environment (. .venv/bin/activate) or run: {install_command()}",
        file=sys.stderr,
    )
    return 2


def install_command(extra: str = "", *more: str) -> str:
    """Return the command that installs this package with an extra, and the packages `more`.

    The package is not on an index. In a clone the command installs the clone, and elsewhere the packages that make up the extra.
    """
    clone = Path(__file__).parent.parent
    if (clone / "setup.py").is_file():
        where = "." if clone == Path.cwd() else str(clone)
        target = f"{where}[{extra}]" if extra else where
        words = ["-e", f'"{target}"' if extra or " " in target else target, *more]
    else:
        # Each requirement reads like: tensorflow-datasets>=4.9.10; extra == "tfds"
        split = [text.partition(";") for text in requires("sde_vae") or []]
        wanted = [
            name.strip() for name, _, marker in split if (f'extra == "{extra}"' in marker if extra else not marker)
        ]
        words = [f'"{name}"' if set(name) & set("<>=[") else name for name in (*wanted, *more)]
    return f"pip install {' '.join(words)}"
