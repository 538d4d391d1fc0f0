"""uint8 images in an array_record file, and a choice of some images of a sequence."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

from sde_vae.data.dataset import Images, fingerprint, take
from sde_vae.errors import BadInput

# No reading ahead and no threads: what is read at random is not followed by its neighbour.
READER = "readahead_buffer_size:0,max_parallelism:0"


class Records:
    """n images of one shape. Pickles as its path; threads share it, and every process opens the file for itself.

    identity: a digest of the images, taken when they were written, which tells them from all others.
    ValueError if the file does not hold n whole records.
    """

    def __init__(self, path: Path, n: int, shape: tuple[int, int, int], identity: str):
        self.path, self.n, self.shape, self.identity = path, n, shape, identity
        self._readers: dict[int, ArrayRecordReader] = {}
        if not self._reader().ok() or self._reader().num_records() != n:
            raise ValueError(f"{path.name} does not hold {n} whole records")

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: SupportsIndex) -> np.ndarray:
        """Image i, read-only. IndexError outside 0 .. n - 1."""
        return self.__getitems__([i])[0]

    def __getitems__(self, index: Iterable[SupportsIndex]) -> list[np.ndarray]:
        """Several at once, which is some five times faster than one by one."""
        places = [int(i) for i in index]
        if not all(0 <= i < self.n for i in places):
            raise IndexError(f"{self.path.name}: index outside 0 .. {self.n - 1}")
        try:
            return [np.frombuffer(record, np.uint8).reshape(self.shape) for record in self._reader().read(places)]
        except (RuntimeError, ValueError) as error:  # a checksum that is wrong, a record of another length
            raise BadInput(f"cache {self.path}: damaged, delete its folder to have it built again ({error})") from None

    def __getstate__(self) -> tuple[Path, int, tuple[int, int, int], str]:
        return self.path, self.n, self.shape, self.identity

    def __setstate__(self, state: tuple[Path, int, tuple[int, int, int], str]) -> None:
        self.path, self.n, self.shape, self.identity = state
        self._readers = {}

    def _reader(self) -> ArrayRecordReader:
        # By process: a reader that came through a fork is kept, unused, since closing it there is not safe either.
        if os.getpid() not in self._readers:
            self._readers[os.getpid()] = ArrayRecordReader(str(self.path), options=READER)
        return self._readers[os.getpid()]


class Subset:
    """images[index]: the images of a split, without copying any."""

    def __init__(self, images: Images, index: np.ndarray):
        self.images, self.index = images, index

    @property
    def identity(self) -> str:
        """A digest of what the images are taken from and of their places there."""
        places = np.asarray(self.index, "<i8").tobytes()
        return hashlib.sha256(fingerprint(self.images).encode() + places).hexdigest()

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: SupportsIndex) -> np.ndarray:
        return self.images[int(self.index[i])]

    def __getitems__(self, index: Iterable[SupportsIndex]) -> list[np.ndarray]:
        return list(take(self.images, self.index[[int(i) for i in index]]))
