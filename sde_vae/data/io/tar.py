"""Read a few files of a .tar or .tar.gz into memory, without extracting anything.

The archive is not trusted. Names that lead out of it, links, devices, sparse files and what is too large or too many are refused. It is
read once from front to back, and no more of it is inflated than the bounds allow.
"""

import gzip
import io
import tarfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from sde_vae.errors import BadInput

MAX_BYTES = 2**26  # of one file: CIFAR-10's largest has 31 million
MAX_TOTAL = 2**28  # of the archive when inflated: CIFAR-10's has 186 million
MAX_MEMBERS = 1000
SHOWN = 80  # characters of a name in a message


def read_tar(path: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """Return name -> bytes of those files, at any depth, whose name without the folders is in `wanted`.

    Other files are left out, and their number is printed. Raises BadInput, which names the archive and the file, for an archive that
    is unsafe or damaged.
    """
    try:
        with open(path, "rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            # Read as a stream, so that tarfile never goes back.
            with tarfile.open(fileobj=_Bounded(gzip.open(raw) if zipped else raw), mode="r|") as archive:
                found, other = _read(path, archive, wanted)
    except BadInput:
        raise
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error}); get it anew") from None
    except Exception as error:  # tarfile and zlib raise many types of errors
        raise BadInput(f"{path}: not a .tar or .tar.gz, or damaged ({str(error)[:SHOWN]!a}); get it anew") from None
    if other:
        print(f"{path}: {other} files left out, of other names than {', '.join(sorted(wanted))}")
    return found


def _read(path: Path, archive: tarfile.TarFile, wanted: Collection[str]) -> tuple[dict[str, bytes], int]:
    found: dict[str, bytes] = {}
    other = 0
    for count, member in enumerate(archive):
        name = PurePosixPath(member.name).name
        _check(path, member)
        if count >= MAX_MEMBERS:
            raise BadInput(f"{path}: has over {MAX_MEMBERS} files; get it anew")
        if member.isdir() or name.startswith("."):
            continue
        if name not in wanted:
            other += 1
            continue
        if name in found:
            raise BadInput(f"{path}: has {name} twice; get it anew")
        file = archive.extractfile(member)
        data = b"" if file is None else file.read()
        if len(data) != member.size:
            raise BadInput(f"{path}: {name} has {len(data)} of {member.size} bytes: truncated; get it anew")
        found[name] = data
    return found, other


def _check(path: Path, member: tarfile.TarInfo) -> None:
    """Raise BadInput for a member that leads out of the archive, is no plain file or folder, or is too large."""
    name, shown = member.name, ascii(member.name[:SHOWN])
    if name.startswith("/") or "\\" in name or ":" in name.split("/")[0] or ".." in PurePosixPath(name).parts:
        raise BadInput(f"{path}: the name {shown} leads out of the archive; get it anew")
    if member.issym() or member.islnk():
        raise BadInput(f"{path}: {shown} is a link: pack what it points to")
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise BadInput(f"{path}: {shown} is neither a plain file nor a folder; get it anew")
    if not 0 <= member.size <= MAX_BYTES:
        raise BadInput(f"{path}: {shown} declares {member.size} bytes, over {MAX_BYTES}; get it anew")


class _Bounded(io.RawIOBase):
    """A file that can only be read, and no further than MAX_TOTAL bytes."""

    def __init__(self, file: io.BufferedIOBase):
        self._file, self._left = file, MAX_TOTAL

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self._file.read(min(len(buffer), self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it inflates to over {MAX_TOTAL} bytes")
        buffer[: len(data)] = data
        return len(data)
