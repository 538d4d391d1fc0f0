"""Bounds the memory of the pictures that several threads decode at once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

# A pixel takes 4 to 9 bytes while its picture is decoded. A picture of more pixels than AT_ONCE is decoded alone. Pillow's own limit is a
# third above it, for which see `open_header`.
AT_ONCE = 2**26
# Larger ones are decoded in one thread: memory that a thread has freed stays its own.
LARGE = 2**24
Made = TypeVar("Made")


class Turns:
    """A queue for decoding, which threads share: the pictures of all of them have AT_ONCE pixels at most, or there is one picture."""

    def __init__(self) -> None:
        self._pixels = 0  # in work
        self._freed = threading.Condition()
        self._single = ThreadPoolExecutor(1)

    def __enter__(self) -> "Turns":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._single.shutdown()

    def take(self, work: Callable[[], Made], pixels: int) -> Made:
        """Wait for room for so many pixels, and return work(); of a LARGE picture it is called in the one thread for these."""
        with self._freed:
            self._freed.wait_for(lambda: not self._pixels or self._pixels + pixels <= AT_ONCE)
            self._pixels += pixels
        try:
            return work() if pixels <= LARGE else self._single.submit(work).result()
        finally:
            with self._freed:
                self._pixels -= pixels
                self._freed.notify_all()
