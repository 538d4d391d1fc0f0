"""What a data set is to everything above it: named splits of uint8 images, perhaps with attributes."""

import hashlib
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from sde_vae.errors import BadInput


@runtime_checkable
class Images(Protocol):
    """A sequence of uint8 images [H, W, C], all of one shape, read at random: an array [n, H, W, C], or files behind one."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> np.ndarray: ...


class Split(NamedTuple):
    """attributes: one row per image, [n, len(Dataset.attributes)], or None."""

    images: Images
    attributes: np.ndarray | None = None


class Dataset(NamedTuple):
    """splits: "train", and whichever of "valid" and "test" there are; pixel values in 0 .. levels - 1 (256 as a rule).

    `attributes` names the columns of the splits' attributes. `skipped` lists what was left out as unreadable, one line each.
    """

    name: str
    splits: dict[str, Split]
    levels: int = 256
    attributes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return np.shape(next(iter(self.splits.values())).images[0])

    def split(self, name: str) -> Split:
        if name not in self.splits:
            raise BadInput(f"split: {self.name} has no {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]


class DataOptions(NamedTuple):
    """What a loader is told: loader(options) -> Dataset. A data set uses what applies to it.

    dir: where the user's files are, None if not given. crop: side of the centre crop that comes before the resize, 0 for none.
    filter: of the resize, a name that Pillow knows, always antialiased. cache: the folder for decoded images.
    """

    dir: Path | None
    image_size: int
    channels: int
    crop: int
    filter: str
    skip_corrupt: bool
    cache: Path


def make_splits(images: np.ndarray, attributes: np.ndarray | None, valid: int, test: int) -> dict[str, Split]:
    """train, valid and test of data that has no official splits: shuffled once, the same way on every machine."""
    order = np.random.default_rng(0).permutation(len(images))
    train = len(images) - valid - test
    parts = dict(zip(("train", "test", "valid"), np.split(order, [train, train + test]), strict=True))
    return {n: Split(images[i], None if attributes is None else attributes[i]) for n, i in parts.items()}


def take(images: Images, index: np.ndarray) -> np.ndarray:
    """images[index] as one array [len(index), H, W, C]."""
    if isinstance(images, np.ndarray):
        return images[index]
    several = getattr(images, "__getitems__", lambda index: [images[i] for i in index])
    return np.stack(several([int(i) for i in index]))


def evenly_spaced(images: Images, most: int) -> np.ndarray:
    """All images, or `most` of them evenly spaced, as one array."""
    return take(images, evenly_spaced_index(len(images), most))


def evenly_spaced_index(n: int, most: int) -> np.ndarray:
    """Which of n images `evenly_spaced` takes: for what else is known of them."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).round().astype(int))


def fingerprint(images: Images) -> str:
    """SHA-256 of all the images, in their order; images that lie in a file have it as their `identity`."""
    if isinstance(images, np.ndarray):
        return hashlib.sha256(f"{images.shape}".encode() + np.ascontiguousarray(images).tobytes()).hexdigest()
    return images.identity


def to_model(images: np.ndarray, levels: int) -> np.ndarray:
    """uint8 -> float32 in [-1, 1]."""
    return images.astype(np.float32) * np.float32(2 / (levels - 1)) - np.float32(1)


def to_levels(x: np.ndarray, levels: int) -> np.ndarray:
    """[-1, 1] -> uint8, the nearest grey levels: `to_model` undone."""
    return np.round(to_unit(x) * (levels - 1)).astype(np.uint8)


def to_unit(x: np.ndarray) -> np.ndarray:
    """[-1, 1] -> [0, 1], clipped: what metrics and pictures see."""
    return np.clip((np.asarray(x, np.float32) + 1) / 2, 0, 1)


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Round images on [0, 1] to uint8, as they would be saved."""
    return np.round(images * 255).astype(np.uint8)
