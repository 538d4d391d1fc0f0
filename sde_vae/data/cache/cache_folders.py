"""Where caches are built and discarded: folders beside the cache's own, which carry the machine and process they belong to."""

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
    """What goes wrong within when files in `folder` are opened or written becomes BadInput: a full disk, no permission."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # array_record's writer raises RuntimeError
        why = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise BadInput(
            f"config.data.cache: {folder} cannot be used ({why}): give a folder that can be read and written, with room "
            "for the images"
        ) from None


def sibling(path: Path, why: str) -> Path:
    """The name of a folder next to `path`, new and this process's own."""
    return path.with_name(f"{path.name}.{why}-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def discard(path: Path) -> None:
    """Out of the way in one step, so that no other process sees half of it."""
    grave = sibling(path, "damaged")
    with contextlib.suppress(FileNotFoundError):  # another process did it
        path.rename(grave)
    shutil.rmtree(grave, ignore_errors=True)


def remove_abandoned(path: Path) -> None:
    """Removes the folders beside `path` that processes of this machine left when they were killed."""
    owned = re.compile(rf"{re.escape(path.name)}\.[a-z]+-{re.escape(_host())}-([0-9]{{1,9}})-[0-9a-f]{{8}}")
    for other in path.parent.iterdir() if path.parent.is_dir() else ():
        if (found := owned.fullmatch(other.name)) and not _alive(int(found[1])):
            shutil.rmtree(other, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, so there is one
        return True
    return True


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())
