"""A checkpoint's description of itself: WORKDIR/STAGE/checkpoints/STEP/meta/metadata, JSON with a checksum of its own.

It holds the stage and the step, the shape, type and checksum of every array, the state of the data, and a record: the config that the
stage was trained with, and what it stood on. Checkpoints of version 0.1 have neither a checksum nor a step nor a record.
"""

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sde_vae.files import json_crc32

META = "meta"
OLD = {"stage", "data", "leaves"}


class Damaged(Exception):
    """A checkpoint is damaged or incomplete."""


class Description(NamedTuple):
    """What a checkpoint says of itself; step and record are None in one of version 0.1."""

    stage: str
    step: int | None
    leaves: dict[str, dict[str, Any]]
    data: dict[str, Any] | None
    record: dict[str, Any] | None


def as_meta(found: Description) -> dict[str, Any]:
    """Return the description as JSON, with its checksum."""
    return found._asdict() | {"crc32": json_crc32(found._asdict())}


def read_description(path: Path) -> Description:
    """Return the description of the checkpoint `path`. Raises Damaged if it cannot be read, or if its checksum is wrong."""
    try:
        meta = json.loads((path / META / "metadata").read_bytes())
    except (OSError, ValueError) as error:
        raise Damaged(f"its description is not readable ({type(error).__name__})") from error
    if not isinstance(meta, dict) or not meta.keys() >= OLD or not isinstance(meta["leaves"], dict):
        raise Damaged("its description is not readable")
    if meta.keys() != OLD and meta.pop("crc32", None) != json_crc32(meta):
        raise Damaged("the checksum of its description is wrong")
    return Description(meta["stage"], meta.get("step"), meta["leaves"], meta["data"], meta.get("record"))


def newest_record(checkpoints: Path) -> tuple[int, dict[str, Any] | None] | None:
    """Return (step, record) of the newest checkpoint in a folder whose description is whole; None if there is no such checkpoint."""
    for step in steps(checkpoints) if checkpoints.is_dir() else ():
        try:
            return step, read_description(checkpoints / str(step)).record
        except Damaged:
            continue
    return None


def steps(checkpoints: Path) -> list[int]:
    """Return the steps of the checkpoints in a folder, the newest first."""
    return sorted((int(p.name) for p in checkpoints.iterdir() if p.is_dir() and p.name.isdecimal()), reverse=True)


def describe(tree: Any) -> dict[str, dict[str, Any]]:
    """Return path -> shape, dtype and checksum (CRC-32) of every array."""
    # Imported late: the command line reads the records of checkpoints without it.
    import jax

    return {
        jax.tree_util.keystr(path): {"shape": list(np.shape(a)), "dtype": str(np.asarray(a).dtype), "crc32": _crc32(a)}
        for path, a in jax.tree_util.tree_leaves_with_path(tree)
    }


def digest(tree: Any) -> str:
    """Return 16 hexadecimal digits that identify the arrays: another value in any of them gives others."""
    return hashlib.sha256(json.dumps(describe(tree), sort_keys=True).encode()).hexdigest()[:16]


def _crc32(a: Any) -> int:
    return zlib.crc32(np.ascontiguousarray(a).tobytes())
