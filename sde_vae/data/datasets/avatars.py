"""The data set `avatars`: cartoon faces, drawn and not photographed, with their exact factors as attributes.

The images are rendered on first use and cached. Image i of a split is face number SEEDS[split][i], whatever the size, the
machine or the order of rendering.
"""

import functools
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from sde_vae.data.cache.record_cache import Picture, cached
from sde_vae.data.dataset import DataOptions, Dataset, Split
from sde_vae.data.datasets.avatar_faces import FRAME, SUPERSAMPLING, render, require
from sde_vae.data.datasets.avatar_factors import FACTORS, HALF_WITHOUT, factors
from sde_vae.errors import BadInput

# Far apart, so that a longer split does not overlap with the next.
SEEDS = {
    "train": range(0, 20_000),
    "valid": range(1_000_000, 1_001_000),
    "test": range(2_000_000, 2_002_000),
}
SIZES = (16, 256)  # the smallest size at which a face is recognisable, and the resolution of the drawings
FACES_PER_PROCESS = 1000  # fewer faces do not repay the start of a process


def avatars(options: DataOptions) -> Dataset:
    """Return the splits train (20,000), valid (1,000) and test (2,000) of drawn faces, in RGB at options.image_size.

    The attributes are indices: row[k] is the place of the face's value in FACTORS[Dataset.attributes[k]]. A factor that is not
    visible in a face has an index too; `avatar_factors.hidden` names such factors. Raises BadInput without the extra `avatars`,
    for a number of channels other than 3, and for a size outside 16 .. 256.
    """
    return drawn(options, SEEDS)


def drawn(options: DataOptions, seeds: dict[str, range]) -> Dataset:
    """Return `avatars` with the given splits: split -> range of face numbers."""
    require()
    if options.channels != 3:
        raise BadInput(f"config.data.channels: got {options.channels}; avatars are in colour: set it to 3")
    size, width = options.size
    if size != width:
        raise BadInput(f"config.data.image_size: got {options.image_size}; avatars are square: give one number")
    if not SIZES[0] <= size <= SIZES[1]:
        raise BadInput(f"config.data.image_size: got {size}; avatars are drawn at {SIZES[0]} to {SIZES[1]}")
    splits = {name: _split(options.cache, size, name, s) for name, s in seeds.items()}
    return Dataset("avatars", splits, attributes=tuple(FACTORS), values=FACTORS, render=render)


def _split(folder: Path, size: int, name: str, seeds: range) -> Split:
    key = {
        "name": f"avatars-{name}-{size}",
        "seeds": [seeds.start, seeds.stop, seeds.step],
        "size": size,
        "factors": FACTORS,
        "half_without": HALF_WITHOUT,
        "frame": FRAME,
        "finer": SUPERSAMPLING,
        **{package: version(package) for package in ("python-avatars", "resvg-py")},
    }
    processes = min(os.cpu_count() or 1, len(seeds) // FACES_PER_PROCESS)
    make = functools.partial(pictures, seeds, size, processes)
    cache = cached(folder, key, len(seeds), make)
    return Split(cache.images, cache.attributes)


def pictures(seeds: range, size: int, processes: int) -> Iterator[Picture]:
    """Yield the faces of `seeds` in order, rendered by this process (`processes` is 0 or 1) or by several others.

    The other processes import the script that runs. It must therefore do its work under `if __name__ == "__main__"`.
    """
    if processes < 2:
        yield from map(picture, seeds, itertools.repeat(size))
        return
    # Spawned, because a fork would copy JAX's threads in an undefined state.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(picture, seeds, itertools.repeat(size), chunksize=32)


def picture(seed: int, size: int) -> Picture:
    """Return one face and its row of factor indices, int8 [len(FACTORS)]."""
    face = factors(seed)
    return Picture(render(face, size), np.array(list(face.values()), np.int8))
