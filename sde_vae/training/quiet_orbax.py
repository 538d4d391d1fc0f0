"""orbax and tensorstore say in hundreds of lines that a disk is full, from each thread of a write. One line is raised instead."""

import logging
import sys
import threading
from types import TracebackType


def quieten() -> None:
    """Leave out the tracebacks of background threads of a write that failed, from now on: its error is raised in the main thread.

    They come late, even at the end of the process, so that this cannot be undone after a write.
    """
    logging.getLogger("absl").addFilter(_not_of_orbax)
    if sys.excepthook is not _hook:
        _before.append(sys.excepthook)
        sys.excepthook = _hook


def _not_of_orbax(record: logging.LogRecord) -> bool:
    return not (record.levelno >= logging.ERROR and "orbax" in record.pathname)


_before = []


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # Of other threads than the main one, only compiled code reports here: tensorstore, that a closed event loop takes no result.
    if threading.current_thread() is threading.main_thread() or kind is not RuntimeError:
        _before[-1](kind, error, trace)
