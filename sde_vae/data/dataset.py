"""What a data set is to everything above it: named splits of uint8 images."""

from collections.abc import Iterator
from typing import NamedTuple

import grain
import numpy as np

from sde_vae.errors import BadInput
from sde_vae.types import Batch


class Dataset(NamedTuple):
    """splits: name -> uint8 images [n, H, W, C], their values in 0 .. levels - 1 (256 for ordinary images)."""

    name: str
    splits: dict[str, np.ndarray]
    levels: int = 256

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.splits["train"].shape[1:]

    def split(self, name: str) -> np.ndarray:
        if name not in self.splits:
            raise BadInput(f"split: {self.name} has no {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]


def to_model(images: np.ndarray, levels: int) -> np.ndarray:
    """uint8 -> float32 in [-1, 1]."""
    return images.astype(np.float32) * np.float32(2 / (levels - 1)) - np.float32(1)


def to_unit(x: np.ndarray) -> np.ndarray:
    """[-1, 1] -> [0, 1], clipped: what metrics and pictures see."""
    return np.clip((np.asarray(x, np.float32) + 1) / 2, 0, 1)


def batches(images: np.ndarray, levels: int, batch_size: int, seed: int, start: int, stop: int) -> Iterator[Batch]:
    """The batches of steps start .. stop - 1: shuffled anew every epoch, a function of (seed, step) alone."""
    source = grain.MapDataset.source(images).seed(seed).shuffle().repeat().batch(batch_size)
    index = np.arange(batch_size, dtype=np.int32)
    for step in range(start, stop):
        yield Batch(to_model(source[step], levels), index)
