"""Folders in which caches are built and discarded. They lie beside the cache, and their names hold the host and the process."""

import contextlib
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

from sde_vae.errors import BadInput


@contextlib.contextmanager
def cache_errors(folder: Path) -> Iterator[None]:
    """Turn errors of reading and writing files in `folder`, such as a full disk or a missing permission, into BadInput."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # array_record's writer raises RuntimeError
        why = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise BadInput(
            f"config.data.cache: {folder} cannot be used ({why}): give a folder that can be read and written, with room "
            "for the images"
        ) from None


def sibling(path: Path, why: str) -> Path:
    """Return the name of a new folder beside `path` that belongs to this process."""
    return path.with_name(f"{path.name}.{why}-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def discard(path: Path) -> None:
    """Remove a folder. It is renamed first, so that no other process finds half of it."""
    grave = sibling(path, "damaged")
    with contextlib.suppress(FileNotFoundError):  # another process did it
        path.rename(grave)
    shutil.rmtree(grave, ignore_errors=True)


def remove_abandoned(path: Path) -> None:
    """Remove the folders beside `path` that killed processes of this host have left."""
    owned = re.compile(rf"{re.escape(path.name)}\.[a-z]+-{re.escape(_host())}-([0-9]{{1,9}})-[0-9a-f]{{8}}")
    for other in path.parent.iterdir() if path.parent.is_dir() else ():
        if (found := owned.fullmatch(other.name)) and not _alive(int(found[1])):
            shutil.rmtree(other, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        return True
    return True


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())
