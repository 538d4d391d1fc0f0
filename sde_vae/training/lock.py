"""The lock of a workdir: one process at a time trains or evaluates a run.

The system's own lock on WORKDIR/.lock vanishes with its process, however that ends. WORKDIR/.owner.json names the process. Some
network file systems keep locks to one host. There the owner's file tells: while its process lives, it is touched every BEAT seconds.
"""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sde_vae.errors import BadInput, shortened
from sde_vae.files import require_writable, write_json

LOCK, OWNER = ".lock", ".owner.json"
# Seconds between two signs of life, and the age of the last one after which a process on another host counts as ended.
BEAT, SILENT = 15, 120


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold the lock of `workdir`, which is made if need be.

    Raises BadInput if the folder cannot be written, or if another process holds the lock: the line names its number, host and time.
    The lock of a process that was killed is taken over.
    """
    require_writable(workdir, "--workdir")
    lock = FileLock(workdir / LOCK)
    try:
        # A moment, for a process that is about to end.
        lock.acquire(timeout=1, poll_interval=0.1)
    except Timeout:
        raise BadInput(f"--workdir: {workdir} is in use by {_name(_owner(workdir))}; {_TO_DO}") from None
    except (OSError, NotImplementedError) as error:
        raise BadInput(
            f"--workdir: {workdir} cannot be locked ({shortened(str(error))}); take a folder of another disk"
        ) from error
    try:
        _refuse_living_elsewhere(workdir)
        with _alive(workdir):
            yield
    finally:
        lock.release()


_TO_DO = "wait until it has ended, or stop it, or take another --workdir"


def _refuse_living_elsewhere(workdir: Path) -> None:
    """Raise BadInput if a process of another host has given a sign of life: the file system does not keep locks between hosts."""
    owner = _owner(workdir)
    if owner is None or owner.get("host") == socket.gethostname():
        return
    os.utime(workdir / LOCK)
    # Both times are the file server's.
    age = (workdir / LOCK).stat().st_mtime - (workdir / OWNER).stat().st_mtime
    if age < SILENT:
        raise BadInput(
            f"--workdir: {workdir} is in use by {_name(owner)}; {_TO_DO}; if it was killed, try again in {SILENT - age:.0f} seconds"
        )


@contextlib.contextmanager
def _alive(workdir: Path) -> Iterator[None]:
    """Write the owner's file, touch it now and then, and remove it at the end."""
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    write_json(workdir / OWNER, {"pid": os.getpid(), "host": socket.gethostname(), "since": since})
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(workdir / OWNER)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError):
            (workdir / OWNER).unlink()


def _owner(workdir: Path) -> dict[str, Any] | None:
    """Return what the owner's file says, or None."""
    try:
        found = json.loads((workdir / OWNER).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _name(owner: dict[str, Any] | None) -> str:
    if owner is None:
        return "another process"
    return f"process {owner.get('pid')} on {owner.get('host')} since {owner.get('since')}"
