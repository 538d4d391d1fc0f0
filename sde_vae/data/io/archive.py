"""Read the files of a folder or of a .zip by name, and none outside of it.

The source is not trusted. A name may lead out of it (`../`, a symbolic link), and a zip may inflate without end. Such a source is
refused as a whole before any of its files is read. Hidden files are not listed, only counted.
"""

import contextlib
import hashlib
import os
import stat
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sde_vae.data.io.formats import shown
from sde_vae.errors import BadInput, shortened

MAX_BYTES = 2**28  # of one file: a larger one has more than decode.MAX_PIXELS
# Pictures hardly deflate; empty ones deflate by a factor of 10 to 50. The limit of deflate is 1,032.
MAX_RATIO = 200
FREE_BYTES = 2**20  # a smaller file may inflate at any ratio
# With these methods zipfile inflates no more than is read. With bzip2 and LZMA it inflates all that one read of the file yields.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Files(NamedTuple):
    """The files of one source.

    names           the relative names of all files, sorted, with "/"
    read(name)      the bytes of a file; raises BadInput if it cannot be read
    where           the source, for messages
    ignored         kind -> number of what is not listed: hidden files and folders, linked folders, files that are none
    """

    names: tuple[str, ...]
    read: Callable[[str], bytes]
    where: Path
    ignored: dict[str, int]


def fingerprint(path: Path, follow_links: bool = False) -> str:
    """Return a digest of the names, sizes and modification times of all files below `path`, or of the file `path`."""
    digest = hashlib.sha256()
    for file in sorted(_walk(path, follow_links, Counter())) if path.is_dir() else [path]:
        s = file.stat() if file.exists() else file.lstat()
        digest.update(
            f"{file.relative_to(path).as_posix()}\0{s.st_size}\0{s.st_mtime_ns}\n".encode("utf-8", "surrogateescape")
        )
    return digest.hexdigest()


@contextlib.contextmanager
def open_files(path: Path, follow_links: bool = False) -> Iterator[Files]:
    """Open a folder or a zip. Raises BadInput for a source that is not safe.

    With `follow_links`, links that lead out of a folder are followed; otherwise they are not safe.
    """
    if path.is_dir():
        yield _folder(path, follow_links)
        return
    if not path.is_file():  # a pipe would be waited for
        raise BadInput(f"{shown(path)}: neither a folder nor a .zip")
    try:
        file = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises many types of errors
        raise BadInput(f"{shown(path)}: neither a folder nor a readable .zip ({shortened(shown(error))})") from None
    with file:
        yield _zip(path, file)


def _folder(path: Path, follow_links: bool) -> Files:
    root = path.resolve()
    names = []
    ignored: Counter[str] = Counter()
    for file in _walk(path, follow_links, ignored):
        if file.is_symlink() and not _target(file).is_relative_to(root) and not follow_links:
            raise BadInput(
                f"{shown(file)}: a link that leads out of {shown(path)}: set config.data.follow_links=True to read what it points to, "
                "or remove it"
            )
        if file.is_file():
            names.append(file.relative_to(path).as_posix())
        else:
            ignored["linked folder" if file.is_dir() else "special file"] += 1

    def read(name: str) -> bytes:
        try:
            with open(path / name, "rb") as f:
                data = f.read(MAX_BYTES + 1)
        except OSError as error:
            raise BadInput(f"{shown(path / name)}: cannot be read ({error.strerror})") from None
        if len(data) > MAX_BYTES:
            raise BadInput(f"{shown(path / name)}: has more than {MAX_BYTES} bytes")
        return data

    return Files(tuple(sorted(names)), read, path, dict(ignored))


def _target(link: Path) -> Path:
    try:
        return link.resolve(strict=True)
    except (OSError, RuntimeError):  # no target, or a loop, whose error depends on Python's version
        raise BadInput(f"{shown(link)}: a link that leads nowhere: mend or remove it") from None


def _zip(path: Path, file: zipfile.ZipFile) -> Files:
    entries = {}
    for info in file.infolist():
        # Some programs on Windows pack names with backslashes.
        name = info.filename.replace("\\", "/")
        if not name.endswith("/"):
            _check_entry(path, info, name)
            name = PurePosixPath(name).as_posix()  # without ./ and //
            if name in entries:
                raise BadInput(f"{shown(path)}: holds {shown(name)!r} twice")
            entries[name] = info
    total = sum(info.file_size for info in entries.values())
    if total > max(FREE_BYTES, MAX_RATIO * path.stat().st_size):
        raise BadInput(
            f"{shown(path)}: declares {total} bytes, over {MAX_RATIO} times its own size: looks like a zip bomb"
        )
    lock = threading.Lock()  # ZipFile shares one file between its readers

    def read(name: str) -> bytes:
        try:
            # With a length, because zipfile otherwise inflates the whole file before it checks the declared size.
            with lock, file.open(entries[name]) as f:
                return f.read(entries[name].file_size + 1)
        except Exception as error:  # zipfile and its decompressors raise many types of errors
            raise BadInput(
                f"{shown(f'{path}/{name}')}: damaged, or not of the size the zip declares ({shortened(shown(error))})"
            ) from None

    hidden = Counter("hidden file" for name in entries if _hidden(name))
    return Files(tuple(sorted(name for name in entries if not _hidden(name))), read, path, dict(hidden))


def _check_entry(path: Path, info: zipfile.ZipInfo, name: str) -> None:
    """Raise BadInput unless the entry, called `name` with "/" between folders, is safe to read."""
    if not PurePosixPath(name).name:
        raise BadInput(f"{shown(path)}: has an entry without a name: pack it anew")
    if name.startswith("/") or ":" in name.split("/")[0] or ".." in PurePosixPath(name).parts:
        raise BadInput(f"{shown(path)}: the name {shown(name)!r} leads out of the zip")
    name = shown(name)
    if stat.S_ISLNK(info.external_attr >> 16):
        raise BadInput(f"{shown(path)}: {name!r} is a symbolic link: pack what it points to")
    if info.flag_bits & 1:
        raise BadInput(f"{shown(path)}: {name!r} is encrypted: pack it without a password")
    if info.compress_type not in METHODS:
        raise BadInput(
            f"{shown(path)}: {name!r} is packed by method {info.compress_type}: pack it anew, deflated or stored"
        )
    if info.file_size > MAX_BYTES:
        raise BadInput(f"{shown(path)}: {name!r} declares {info.file_size} bytes, over {MAX_BYTES}")
    if info.file_size > max(FREE_BYTES, MAX_RATIO * info.compress_size):
        raise BadInput(f"{shown(path)}: {name!r} inflates over {MAX_RATIO} times: looks like a zip bomb")


def _walk(path: Path, follow_links: bool, ignored: Counter[str]) -> Iterator[Path]:
    """Yield all files and links below `path` that are not hidden; count the others in `ignored`.

    Linked folders are listed but not entered, unless with `follow_links`: then every folder is entered once, whatever leads to it.
    """
    entered = {path.resolve()}
    for folder, folders, files in os.walk(path, onerror=_raise, followlinks=follow_links):
        ignored["hidden folder"] += sum(map(_hidden, folders))
        ignored["hidden file"] += sum(map(_hidden, files))
        links = []
        for name in sorted(f for f in folders if not _hidden(f)):
            below = Path(folder) / name
            if below.resolve() in entered if follow_links else below.is_symlink():
                links.append(below)
            elif follow_links:
                entered.add(below.resolve())
        folders[:] = [f for f in folders if not _hidden(f) and Path(folder) / f not in links]
        yield from links
        yield from (Path(folder) / f for f in sorted(files) if not _hidden(f))


def _raise(error: OSError) -> None:
    raise BadInput(f"{shown(error.filename)}: cannot be read ({error.strerror})") from None


def _hidden(name: str) -> bool:
    """Return whether a name is hidden, such as .DS_Store and the ._* files of macOS."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
