"""Synthetic images: sampled from a prior once, kept, and trained on."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sde_vae.data.dataset import fingerprint, to_levels
from sde_vae.errors import BadInput, shortened
from sde_vae.files import write_array
from sde_vae.inference.resume_cache import ResumeCache, go_on
from sde_vae.inference.sampling import Sampler
from sde_vae.keyed_folder import Key, first_difference, held_key, write_key

# The images' checksum, beside the fields of their key.
SUM = "sha256"


def synthetic_images(
    directory: Path,
    n: int,
    levels: int,
    source: dict[str, Any],
    settings: dict[str, Any],
    sampler: Callable[[ResumeCache], Sampler],
    check: Callable[[], None] = go_on,
) -> np.ndarray:
    """Return uint8 images [n, H, W, C] from `directory`; if there are none, sample them, or finish what was stopped.

    source: the prior and the seed. settings: whatever else decides how they are sampled; finished images are kept when it changes, as
    what has trained on them goes on with the same. Raises BadInput if the finished images have another source or a wrong checksum: they
    are not deleted. check() is called between the batches, and may raise an exception to stop there.
    """
    key = {"n": n, "levels": levels, **source}
    if (directory / "images.npy").exists():
        return _kept(directory, key)
    cache = ResumeCache(directory / "cache", key | settings, check)
    images = to_levels(sampler(cache)(np.arange(n, dtype=np.int32), "sample synthetic images"), levels)
    write_key(directory, key | {SUM: fingerprint(images)})
    write_array(directory / "images.npy", images)
    cache.discard()
    return images


def _kept(directory: Path, key: Key) -> np.ndarray:
    try:
        images = np.load(directory / "images.npy", allow_pickle=False)
        if (held := held_key(directory)) is None:
            raise ValueError("its key.json is missing or damaged")
        if (found := held.pop(SUM, None)) is None:
            warnings.warn(f"{directory}: of an earlier version, without a checksum; taken as it is", stacklevel=3)
        elif images.dtype != np.uint8 or found != fingerprint(images):
            raise ValueError("its checksum is wrong")
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise BadInput(
            f"{directory}: can't be read ({shortened(str(error))}); remove it, and its images are sampled again"
        ) from error
    if (differs := first_difference(held, key)) is not None:
        raise BadInput(
            f"{directory}: expected images of this prior, number and seed, found others ({differs} differs); take another --workdir, "
            "or remove this folder and what was trained on it"
        )
    return images
