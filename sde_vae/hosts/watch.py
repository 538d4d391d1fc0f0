"""Tell the other processes of a failure, and hear of theirs: none waits for one that has ended."""

import contextlib
import json
import os
import sys
import threading
import time
from typing import Any

from sde_vae.hosts.together import client, is_first
from sde_vae.printing import printable

FAILED, LEFT = "sde_vae/failed/", "sde_vae/left/"
# Seconds between two looks, and those that process 0, which keeps the messages, waits for all others to have read them.
LOOK, GRACE = 1.0, 10.0


class Watch:
    """A thread that ends this process, with the same exit code and one line, soon after another one has told of its failure."""

    def __init__(self, process: int, processes: int):
        self._process, self._others, self._ended = process, processes - 1, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK):
            failure = self.failure()
            if failure is not None and not self._ended.is_set():
                self._leave()
                with contextlib.suppress(OSError):
                    os.write(2, f"\nerror: {printable(failure['line'])}\n".encode())
                os._exit(failure["code"])

    def failure(self, wait: float = 0.0) -> dict[str, Any] | None:
        """Return the first failure that another process has told of, or tells of within `wait` seconds: its exit code, and a line."""
        until, own = time.monotonic() + wait, f"{FAILED}{self._process}"
        # Of a service that has gone nothing can be heard. JAX itself ends this process then.
        with contextlib.suppress(Exception):
            while True:
                told = [json.loads(text) for name, text in client().key_value_dir_get(FAILED) if name != own]
                if told or time.monotonic() >= until:
                    return min(told, key=lambda one: one["time"], default=None)
                time.sleep(0.1)
        return None

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()

    def tell(self, code: int, line: str) -> None:
        """Stop watching, and tell the others that this process fails; they leave with the same exit code."""
        self.stop()
        with contextlib.suppress(Exception):
            text = json.dumps({"code": code, "line": f"process {self._process}: {line}", "time": time.time()})
            client().key_value_set(f"{FAILED}{self._process}", text)
        self._leave()

    def _leave(self) -> None:
        """Say that this process has heard all that it will hear. Process 0 waits for the others to do so."""
        with contextlib.suppress(Exception):
            client().key_value_set(f"{LEFT}{self._process}", "", allow_overwrite=True)
            until = time.monotonic() + GRACE
            while is_first() and time.monotonic() < until and len(client().key_value_dir_get(LEFT)) <= self._others:
                time.sleep(0.1)


def end_at_once(code: int) -> None:
    """End this process when Python does, before JAX waits for processes that have ended."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
