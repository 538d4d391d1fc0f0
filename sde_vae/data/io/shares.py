"""A bound on what threads hold together."""

import contextlib
import threading
from collections.abc import Iterator


class Shares:
    """A total that threads take shares of; a share that is larger than the total is given alone."""

    def __init__(self, total: int):
        self.total, self.taken = total, 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, share: int) -> Iterator[None]:
        """Wait until `share` is free, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: not self.taken or self.taken + share <= self.total)
            self.taken += share
        try:
            yield
        finally:
            with self._changed:
                self.taken -= share
                self._changed.notify_all()
