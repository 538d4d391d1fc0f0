"""Decoded images on disk: decoded, cropped and resized once, then read at random as fast as memory allows.

A cache is a folder of three files: `images.array_record`, one uncompressed record of H W C bytes per image; `attributes.npy`,
one row per image, where there are any; `meta.json`, with the key that says what is in it and a SHA-256 of the images. The
folder's name carries a digest of the key, so another source, size or filter has another folder. A folder is written under
another name and renamed when it is whole: what has the right name was finished, and what a killed process leaves
(`*.building-*`) is never used, and removed by the next build on that machine.
"""

import hashlib
import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from tqdm import tqdm

from sde_vae.data.cache.cache_folders import cache_errors, discard, remove_abandoned, sibling
from sde_vae.data.io.records import Records
from sde_vae.errors import BadInput

VERSION = 2  # of the layout; part of every digest
# Groups of one: a reader reads whole groups. Not compressed: pictures hardly shrink, and zstd only slows the building.
WRITER = "group_size:1,uncompressed"


class Picture(NamedTuple):
    """image: uint8 [H, W, C]. attributes: its row, or None; either all pictures of a cache have one or none has."""

    image: np.ndarray
    attributes: np.ndarray | None = None


class Skipped(NamedTuple):
    """A picture left out: `line` names it and says why."""

    line: str


class Cache(NamedTuple):
    """attributes: [len(images), columns] or None. skipped: the lines of what was left out, in order."""

    images: Records
    attributes: np.ndarray | None
    skipped: tuple[str, ...]


def cached(folder: Path, key: dict[str, Any], total: int, make: Callable[[], Iterator[Picture | Skipped]]) -> Cache:
    """The cache of `key` below `folder`; `make()` is called, and its up to `total` pictures written, if it is not there yet.

    `key` holds what decides the pictures, in JSON's types, with a "name" to call the folder by. A damaged cache is built again,
    with a warning. Two processes may build at once: the first to finish is used. BadInput if `make` yields no picture, or if
    `folder` cannot be read or written.
    """
    key = json.loads(json.dumps({**key, "version": VERSION}))  # as it will be read back: tuples are lists
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / f"{re.sub(r'[^A-Za-z0-9.-]', '_', key['name'])[:80]}-{digest}"
    with cache_errors(folder):
        if (cache := _found(path, key)) is not None:
            return cache
        remove_abandoned(path)
        building = sibling(path, "building")
        building.mkdir(parents=True)
    try:
        _build(building, key, total, make())
        with cache_errors(folder):
            return _finished(building, path, key)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _build(path: Path, key: dict[str, Any], total: int, pictures: Iterator[Picture | Skipped]) -> None:
    records = path / "images.array_record"
    shape: tuple[int, ...] | None = None
    rows: list[np.ndarray] = []
    n, skipped = 0, []
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
        meta = {"key": key, "n": n, "shape": shape, "attributes": bool(rows), "skipped": skipped}
        meta |= {"bytes": _size(records), "sha256": digest.hexdigest()}
        (path / "meta.json").write_text(json.dumps(meta, indent=1))


def _found(path: Path, key: dict[str, Any]) -> Cache | None:
    """The cache at `path`, if there is one. A damaged one is discarded; OSError if it may be whole but cannot be read."""
    if not path.exists():
        return None
    try:
        return _opened(path, key)
    except (FileNotFoundError, ValueError, KeyError, TypeError, EOFError) as error:
        warnings.warn(f"cache {path}: {error}; built again", stacklevel=3)
        discard(path)
        return None


def _finished(building: Path, path: Path, key: dict[str, Any]) -> Cache:
    try:
        building.rename(path)
    except OSError:  # another process was first, or this one may not
        if not path.exists():
            raise
    return _opened(path, key)


def _opened(path: Path, key: dict[str, Any]) -> Cache:
    """One of the errors that `_found` expects if something is missing, cut short or not of this key."""
    meta = json.loads((path / "meta.json").read_text())
    if meta["key"] != key:
        raise ValueError("its key is another one")
    records = path / "images.array_record"
    if _size(records) != meta["bytes"]:
        raise ValueError(f"{records.name} has {_size(records)} bytes instead of {meta['bytes']}")
    images = Records(records, meta["n"], tuple(meta["shape"]), meta["sha256"])
    attributes = np.load(path / "attributes.npy", allow_pickle=False) if meta["attributes"] else None
    if attributes is not None and len(attributes) != len(images):
        raise ValueError(f"attributes.npy has {len(attributes)} rows instead of {len(images)}")
    return Cache(images, attributes, tuple(meta["skipped"]))


def _size(path: Path) -> int:
    with open(path, "rb") as file:  # not stat, which says nothing of whether it can be read
        return file.seek(0, 2)
