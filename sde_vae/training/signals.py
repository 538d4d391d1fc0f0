"""SIGINT (Ctrl-C) and SIGTERM: save and stop, or leave at once. A second signal always leaves at once.

No handler raises an exception: one that is raised while JAX compiles ends in a segmentation fault. Leaving is safe at any moment,
because files are replaced in one move. A thread of its own hears the signals, so that they act while the main thread compiles.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """A signal asked to stop, at a place where all finished work is kept."""


class StopRequest:
    """A context in which the first SIGINT or SIGTERM sets `requested`, and the second ends the process.

    `name` is that of the first signal. The old handlers are restored at its end. Python allows handlers in the main thread only; in
    another, signals act as ever.
    """

    def __init__(self) -> None:
        self.requested, self.name, self._heard = False, "", 0

    def __enter__(self) -> "StopRequest":
        self._context = contextlib.ExitStack()
        if threading.current_thread() is threading.main_thread():
            self._context.enter_context(_heard(self._hear, self._handle))
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def check(self) -> None:
        """Raise Stopped if a signal has asked for it. Call it between pieces of work that are kept."""
        if self.requested:
            raise Stopped

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.requested, self.name = True, self.name or signal.Signals(number).name

    def _hear(self, number: int) -> None:
        self._heard += 1
        if self._heard > 1:
            _leave(number, "left at once; the same command goes on from the newest checkpoint")
        _say(f"{signal.Signals(number).name}: stopping after this step, with the state saved; once more leaves at once")


@contextlib.contextmanager
def leaving(line: str) -> Iterator[None]:
    """A context in which SIGINT and SIGTERM print one line on stderr and end the process, with 128 + the signal as its exit code.

    In another thread than the main one, signals act as ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _heard(lambda number: _leave(number, line), lambda number, frame: None):
        yield


@contextlib.contextmanager
def _heard(hear: Callable[[int], None], handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call hear(signal) in a thread of its own for every signal, at once, and `handle` in the main thread, once that is in Python."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def listen() -> None:
        while numbers := reader.recv(16):
            for number in numbers:
                if number in SIGNALS:
                    hear(number)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    old = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in old.items():
            # None: it was not installed from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(before)
        writer.close()
        thread.join()
        reader.close()


def _leave(number: int, line: str) -> None:
    _say(f"{signal.Signals(number).name}: {line}")
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(128 + number)


def _say(line: str) -> None:
    """Write a line below a progress bar; the main thread may hold the lock of sys.stderr."""
    with contextlib.suppress(OSError):
        os.write(2, f"\n{line}\n".encode())
