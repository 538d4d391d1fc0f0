"""The cache of moments of real images: they take one pass over a data set, and all evaluations need the same ones."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sde_vae.errors import BadInput, reason
from sde_vae.files import write_arrays
from sde_vae.keyed_folder import Key, first_difference, held_key, write_key
from sde_vae.metrics.sets.frechet import Moments

NAMED = ("dataset", "split", "n", "extractor")  # the fields of the key that the folder's name shows


def cached_moments(directory: Path, key: Key, make: Callable[[], Moments]) -> Moments:
    """Return the moments kept below `directory` under `key`. If there are none, keep and return those of make().

    The key has the fields of NAMED and all else that the moments depend on: the data's fingerprint and the extractor's identity.
    Raises BadInput, which names the folder and the field, if the folder holds moments of another key. Damaged moments are made
    again, with a warning. Several processes may write at once: a reader finds no file or a complete one.
    """
    folder = directory / folder_name(key)
    held = held_key(folder)
    if held is not None:
        if (differs := first_difference(held, key)) is not None:
            raise BadInput(
                f"{folder}: made for {differs} = {held.get(differs)!r}, and {key.get(differs)!r} is asked for; "
                "remove it to make it again"
            )
        try:
            return _read(folder / "moments.npz")
        except Exception as error:  # a damaged archive may raise anything at all
            warnings.warn(f"{folder}: damaged ({reason(error)}); made again", stacklevel=2)
    made = make()
    write_arrays(folder / "moments.npz", n=np.asarray(made.n), mean=made.mean, scatter=made.scatter)
    write_key(folder, key)
    return made


def folder_name(key: Key) -> str:
    """Return moments-DATASET-SPLIT-N-EXTRACTOR, with "_" for anything but letters, digits, "." and "_".

    Raises BadInput for a key that lacks one of these fields.

    >>> folder_name({"dataset": "my faces", "split": "test", "n": 360, "extractor": "pixels"})
    'moments-my_faces-test-360-pixels'
    """
    missing = [name for name in NAMED if name not in key]
    if missing:
        raise BadInput(f"key: expected the fields {', '.join(NAMED)}, got no {missing[0]!r}")
    return "-".join(["moments", *(re.sub(r"[^\w.]", "_", str(key[name])) for name in NAMED)])


def _read(path: Path) -> Moments:
    """Return the moments of a file. Raises an exception of any type if it is damaged."""
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        n, mean, scatter = int(file["n"]), file["mean"], file["scatter"]
    whole = n > 0 and mean.dtype == scatter.dtype == np.float64 and mean.ndim == 1 and scatter.shape == mean.shape * 2
    if not (whole and np.isfinite(mean).all() and np.isfinite(scatter).all()):
        raise ValueError("its arrays are not moments")
    return Moments(n, mean, scatter)
