"""The cache of decoded images: images are decoded, cropped and resized once, and then read at random.

A cache is a folder of three files:

    images.array_record   one uncompressed record of H W C bytes for each image
    attributes.npy        one row for each image, if there are attributes
    meta.json             the key of the contents, what was changed and left out, and SHA-256s of all three files

The folder's name has a digest of the key, so that another source, size or filter has another folder. A folder is written under
another name and renamed when it is complete. The folder that a killed process leaves (`*.building-*`) is not used, and the next
build on that host removes it.
"""

import hashlib
import json
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from tqdm import tqdm

from sde_vae.data.cache.cache_folders import cache_errors, discard, remove_abandoned, sibling
from sde_vae.data.io.records import Records
from sde_vae.errors import BadInput, shortened

VERSION = 3  # of the files' layout; part of every digest
# Groups of one record, because a reader reads whole groups. Not compressed: zstd is slow and hardly shrinks pictures.
WRITER = "group_size:1,uncompressed"


class Picture(NamedTuple):
    """A uint8 image [H, W, C], its row of attributes, or None, and kinds of what decoding changed in it.

    All pictures of a cache have attributes, or none has.
    """

    image: np.ndarray
    attributes: np.ndarray | None = None
    changes: tuple[str, ...] = ()


class Skipped(NamedTuple):
    """A picture that was left out. `line` names it and gives the reason."""

    line: str


class Cache(NamedTuple):
    """Images, attributes [len(images), columns] or None, the lines of the pictures that were left out, in order, and kind -> count of changes."""

    images: Records
    attributes: np.ndarray | None
    skipped: tuple[str, ...]
    changes: dict[str, int]


def cached(folder: Path, key: dict[str, Any], total: int, make: Callable[[], Iterator[Picture | Skipped]]) -> Cache:
    """Return the cache of `key` below `folder`. If it does not exist, write the up to `total` pictures of `make()` to it.

    `key` holds all that determines the pictures, in JSON's types, and a "name" for the folder. A damaged cache is built again,
    with a warning. Two processes may build at once; the first to finish is used. Raises BadInput if `make` yields no picture, or
    if `folder` cannot be read or written.
    """
    key = json.loads(json.dumps({**key, "version": VERSION}))  # as JSON returns it, with lists for tuples
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / f"{re.sub(r'[^A-Za-z0-9.-]', '_', key['name'])[:80]}-{digest}"
    with cache_errors(folder):
        if (cache := _existing(path, key)) is not None:
            return cache
        remove_abandoned(path)
        building = sibling(path, "building")
        building.mkdir(parents=True)
    try:
        _build(building, key, total, make())
        with cache_errors(folder):
            return _rename(building, path, key)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _build(path: Path, key: dict[str, Any], total: int, pictures: Iterator[Picture | Skipped]) -> None:
    records = path / "images.array_record"
    shape: tuple[int, ...] | None = None
    rows: list[np.ndarray] = []
    n, skipped = 0, []
    changes: Counter[str] = Counter()
    digest = hashlib.sha256()
    writer = ArrayRecordWriter(str(records), WRITER)
    try:
        for item in tqdm(pictures, desc=f"decoding {key['name']}", total=total, unit="image"):
            if isinstance(item, Skipped):
                skipped.append(item.line)
                continue
            if shape is None:
                shape = item.image.shape
                digest.update(f"{shape}".encode())
            if item.image.dtype != np.uint8 or item.image.shape != shape:
                raise TypeError(f"picture {n} is {item.image.dtype} {item.image.shape}, not uint8 {shape}")
            record = item.image.tobytes()
            digest.update(record)
            with cache_errors(path.parent):
                writer.write(record)
            rows += [] if item.attributes is None else [item.attributes]
            changes.update(item.changes)
            n += 1
    finally:
        with cache_errors(path.parent):
            writer.close()
    if shape is None:
        raise BadInput(f"{key['name']}: none of its {total} images can be used: {'; '.join(skipped[:3])}")
    if rows and len(rows) != n:
        raise TypeError(f"{len(rows)} of {n} pictures have attributes")
    with cache_errors(path.parent):
        if rows:
            np.save(path / "attributes.npy", np.stack(rows), allow_pickle=False)
        meta = {"key": key, "n": n, "shape": shape, "skipped": skipped, "changes": changes}
        meta |= {"attributes": _digest(path / "attributes.npy") if rows else None}
        meta |= {"bytes": _size(records), "sha256": digest.hexdigest()}
        (path / "meta.json").write_text(json.dumps({**meta, "check": _check(meta)}, indent=1))


def _existing(path: Path, key: dict[str, Any]) -> Cache | None:
    """Return the cache at `path`, or None. A damaged cache is discarded.

    Raises OSError if the cache cannot be read and may be undamaged.
    """
    if not path.exists():
        return None
    try:
        return _open(path, key)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError) as error:
        warnings.warn(f"cache {path}: {shortened(str(error))}; built again", stacklevel=3)
        discard(path)
        return None


def _rename(building: Path, path: Path, key: dict[str, Any]) -> Cache:
    try:
        building.rename(path)
    except OSError:  # another process was first, or there is no permission
        if not path.exists():
            raise
    return _open(path, key)


def _open(path: Path, key: dict[str, Any]) -> Cache:
    """Open a cache. Raises one of the errors that `_existing` catches if a file is missing, truncated or of another key."""
    meta = json.loads((path / "meta.json").read_text())
    if meta["key"] != key:
        raise ValueError("its key is another one")
    if meta.pop("check") != _check(meta):
        raise ValueError("meta.json has another checksum")
    records = path / "images.array_record"
    if _size(records) != meta["bytes"]:
        raise ValueError(f"{records.name} has {_size(records)} bytes instead of {meta['bytes']}")
    images = Records(records, meta["n"], tuple(meta["shape"]), meta["sha256"])
    attributes = _attributes(path / "attributes.npy", meta["attributes"]) if meta["attributes"] else None
    if attributes is not None and len(attributes) != len(images):
        raise ValueError(f"attributes.npy has {len(attributes)} rows instead of {len(images)}")
    return Cache(images, attributes, tuple(meta["skipped"]), meta["changes"])


def _attributes(path: Path, digest: str) -> np.ndarray:
    """Read the attributes; one changed bit would move a picture to another split."""
    if _digest(path) != digest:
        raise ValueError(f"{path.name} has another checksum")
    return np.load(path, allow_pickle=False)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(meta: dict[str, Any]) -> str:
    """Return a SHA-256 of what meta.json holds beside it."""
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _size(path: Path) -> int:
    with open(path, "rb") as file:  # stat would not show whether the file can be read
        return file.seek(0, 2)
