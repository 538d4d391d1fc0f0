"""uint8 images in an array_record file, subsets of image sequences, and some of their channels."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

from sde_vae.data.dataset import Images, fingerprint, take
from sde_vae.errors import BadInput, shortened

# No reading ahead and no threads, because the images are read at random.
READER = "readahead_buffer_size:0,max_parallelism:0"


class Records:
    """n images of one shape on disk. Threads share a file, and every process opens its own. It is pickled as its path.

    `identity` is a digest of the images, computed when they were written. Raises ValueError if the file does not hold n
    undamaged records.
    """

    def __init__(self, path: Path, n: int, shape: tuple[int, int, int], identity: str):
        self.path, self.n, self.shape, self.identity = path, n, shape, identity
        self._readers: dict[int, ArrayRecordReader] = {}
        if not self._reader().ok() or self._reader().num_records() != n:
            raise ValueError(f"{path.name} does not hold {n} whole records")

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: SupportsIndex) -> np.ndarray:
        """Return image i, read-only. Raises IndexError outside 0 .. n - 1."""
        return self.__getitems__([i])[0]

    def __getitems__(self, index: Iterable[SupportsIndex]) -> list[np.ndarray]:
        """Return several images, about five times faster than one by one."""
        places = [int(i) for i in index]
        if not all(0 <= i < self.n for i in places):
            raise IndexError(f"{self.path.name}: index outside 0 .. {self.n - 1}")
        try:
            return [np.frombuffer(record, np.uint8).reshape(self.shape) for record in self._reader().read(places)]
        except (RuntimeError, ValueError) as error:  # a wrong checksum or length of a record
            raise BadInput(
                f"cache {self.path}: damaged, delete its folder to have it built again ({shortened(str(error))})"
            ) from None

    def __getstate__(self) -> tuple[Path, int, tuple[int, int, int], str]:
        return self.path, self.n, self.shape, self.identity

    def __setstate__(self, state: tuple[Path, int, tuple[int, int, int], str]) -> None:
        self.path, self.n, self.shape, self.identity = state
        self._readers = {}

    def _reader(self) -> ArrayRecordReader:
        # One reader a process. A reader from before a fork is kept and not used, because closing it is not safe either.
        if os.getpid() not in self._readers:
            self._readers[os.getpid()] = ArrayRecordReader(str(self.path), options=READER)
        return self._readers[os.getpid()]


class Subset:
    """The images images[index], without a copy."""

    def __init__(self, images: Images, index: np.ndarray):
        self.images, self.index = images, index

    @property
    def identity(self) -> str:
        """A digest of the sequence that the images are taken from, and of their places in it."""
        places = np.asarray(self.index, "<i8").tobytes()
        return hashlib.sha256(fingerprint(self.images).encode() + places).hexdigest()

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: SupportsIndex) -> np.ndarray:
        return self.images[int(self.index[i])]

    def __getitems__(self, index: Iterable[SupportsIndex]) -> list[np.ndarray]:
        return list(take(self.images, self.index[[int(i) for i in index]]))


class FirstChannels:
    """The first `channels` channels of images."""

    def __init__(self, images: Images, channels: int):
        self.images, self.channels = images, channels

    @property
    def identity(self) -> str:
        """A digest of the images and of the number of channels."""
        return hashlib.sha256(f"{fingerprint(self.images)} {self.channels}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: SupportsIndex) -> np.ndarray:
        return self.images[int(i)][..., : self.channels]

    def __getitems__(self, index: Iterable[SupportsIndex]) -> list[np.ndarray]:
        return list(take(self.images, np.asarray([int(i) for i in index]))[..., : self.channels])
