"""What is printed, plotted or written to a page: names of files and attributes are shown and never act."""

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any, cast


def printable(text: str) -> str:
    """Escape what a terminal, a page or a file in UTF-8 could not show as it is: control characters, and those that change the direction
    of text or are no character (names of files that are not UTF-8 have them). Line breaks are escaped too.

    >>> print(printable(chr(27) + "[31m b" + chr(0xDCFF)))
    \\x1b[31m b\\udcff
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Printable:
    """A text stream on which a terminal escape, or a character that the stream cannot encode, is written as `printable` has it.

    Line breaks, tabs, the carriage return and the cursor's move up of progress bars pass. All else is that of the stream below.
    """

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, escaped, and return its length."""
        parts = re.split("([\n\r\t]|\x1b\\[A)", text)
        # Every second part is a separator.
        shown = "".join(part if i % 2 else printable(part) for i, part in enumerate(parts))
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Within it, standard output and error are `Printable`: names of files and attributes are shown and never act."""
    out, err = Printable(sys.stdout), Printable(sys.stderr)
    with contextlib.redirect_stdout(cast(Any, out)), contextlib.redirect_stderr(cast(Any, err)):
        yield
