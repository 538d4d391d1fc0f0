"""The data set `avatars`: cartoon faces, drawn and not photographed, with the exact factors behind every pixel as attributes.

No pictures come with the package: they are rendered on first use, and cached. Image i of a split is face number
SEEDS[split][i], whatever the size, the machine or the order of rendering.
"""

import functools
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context

import numpy as np

from sde_vae.data.cache.record_cache import Picture, cached
from sde_vae.data.dataset import DataOptions, Dataset, Split
from sde_vae.data.datasets.avatar_faces import FINER, FRAME, render, require
from sde_vae.data.datasets.avatar_factors import FACTORS, HALF_WITHOUT, factors
from sde_vae.errors import BadInput

# Far apart, so that a longer split does not run into the next.
SEEDS = {
    "train": range(0, 20_000),
    "valid": range(1_000_000, 1_001_000),
    "test": range(2_000_000, 2_002_000),
}
SIZES = (16, 256)  # the smallest with a face to recognise; the drawing's own resolution
PER_PROCESS = 1000  # faces for which a process is worth starting


def avatars(options: DataOptions) -> Dataset:
    """Splits train (20,000), valid (1,000) and test (2,000) of drawn faces, RGB, at options.image_size.

    The attributes are indices: row[k] is the place of the face's value in FACTORS[Dataset.attributes[k]]. What does not show
    in a face has an index all the same; `avatar_factors.hidden` names it. BadInput without the extra `avatars`, for another
    number of channels than 3, or a size outside 16 .. 256.
    """
    return drawn(options, SEEDS)


def drawn(options: DataOptions, seeds: dict[str, range]) -> Dataset:
    """`avatars` with other splits."""
    require()
    if options.channels != 3:
        raise BadInput(f"config.data.channels: got {options.channels}; avatars are in colour: set it to 3")
    if not SIZES[0] <= options.image_size <= SIZES[1]:
        raise BadInput(
            f"config.data.image_size: got {options.image_size}; avatars are drawn at {SIZES[0]} to {SIZES[1]}"
        )
    return Dataset("avatars", {name: _split(options, name, s) for name, s in seeds.items()}, attributes=tuple(FACTORS))


def _split(options: DataOptions, name: str, seeds: range) -> Split:
    key = {
        "name": f"avatars-{name}-{options.image_size}",
        "seeds": [seeds.start, seeds.stop, seeds.step],
        "size": options.image_size,
        "factors": FACTORS,
        "half_without": HALF_WITHOUT,
        "frame": FRAME,
        "finer": FINER,
        **{package: version(package) for package in ("python-avatars", "resvg-py")},
    }
    processes = min(os.cpu_count() or 1, len(seeds) // PER_PROCESS)
    make = functools.partial(pictures, seeds, options.image_size, processes)
    cache = cached(options.cache, key, len(seeds), make)
    return Split(cache.images, cache.attributes)


def pictures(seeds: range, size: int, processes: int) -> Iterator[Picture]:
    """The faces of `seeds`, in their order, drawn by this process (0 or 1) or by several others.

    The others import the script that runs, so that it must do its work under `if __name__ == "__main__"`.
    """
    if processes < 2:
        yield from map(picture, seeds, itertools.repeat(size))
        return
    # Spawned: a fork would copy JAX's threads in the middle of what they do.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(picture, seeds, itertools.repeat(size), chunksize=32)


def picture(seed: int, size: int) -> Picture:
    """One face and its row of factor indices, int8 [len(FACTORS)]."""
    face = factors(seed)
    return Picture(render(face, size), np.array(list(face.values()), np.int8))
