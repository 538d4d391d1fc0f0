"""The moments of real images, kept on disk: they take one pass over a data set, and every evaluation asks for the same ones.

A file says what it holds: the whole key is inside it, and a file that answers another question is refused, never used.
"""

import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sde_vae.errors import BadInput
from sde_vae.metrics.sets.frechet import Moments

Key = dict[str, str | int | float | bool | None]

NAMED = ("dataset", "split", "n", "extractor")  # the fields of the key that the file's name shows


def cached_moments(directory: Path, key: Key, make: Callable[[], Moments]) -> Moments:
    """The moments kept in `directory` under `key`, or make(), which are then kept.

    The key has the fields of NAMED, and all else that the moments depend on: the data's fingerprint, the extractor's identity.
    Raises BadInput, naming the file and the field, if the file of this name was made with another key. A file that is not whole
    is made again, with a warning. Two processes may do this at once: a reader sees no file or a whole one.
    """
    path = directory / file_name(key)
    if path.exists():
        try:
            kept, found = _read(path)
        except Exception as error:  # a damaged archive may raise anything at all
            warnings.warn(f"{path}: damaged ({type(error).__name__}: {error}); made again", stacklevel=2)
        else:
            _check(path, kept, key)
            return found
    made = make()
    _write(path, key, made)
    return made


def file_name(key: Key) -> str:
    """moments-DATASET-SPLIT-N-EXTRACTOR.npz, anything but letters, digits, "." and "_" replaced by "_"."""
    missing = [name for name in NAMED if name not in key]
    if missing:
        raise BadInput(f"key: expected the fields {', '.join(NAMED)}, got no {missing[0]!r}")
    return "-".join(["moments", *(re.sub(r"[^\w.]", "_", str(key[name])) for name in NAMED)]) + ".npz"


def _check(path: Path, kept: Key, key: Key) -> None:
    for name in sorted(kept.keys() | key.keys()):
        old, new = (k.get(name, "not given") for k in (kept, key))
        if old != new:
            raise BadInput(
                f"{path}: made for {name} = {old!r}, and {new!r} is asked for; remove the file to make it again"
            )


def _read(path: Path) -> tuple[Key, Moments]:
    """Raises an exception of any type if the file is not whole."""
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        key, n, mean, scatter = json.loads(str(file["key"])), int(file["n"]), file["mean"], file["scatter"]
    whole = n > 0 and mean.dtype == scatter.dtype == np.float64 and mean.ndim == 1 and scatter.shape == mean.shape * 2
    if not (isinstance(key, dict) and whole and np.isfinite(mean).all() and np.isfinite(scatter).all()):
        raise ValueError("its arrays are not moments")
    return key, Moments(n, mean, scatter)


def _write(path: Path, key: Key, made: Moments) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, key=np.array(json.dumps(key)), n=np.int64(made.n), mean=made.mean, scatter=made.scatter)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
