"""Fashion-MNIST (arXiv:1708.07747) from its four idx files, gzipped or not."""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from sde_vae.data.dataset import DataOptions, Dataset, Split
from sde_vae.errors import BadInput, reason

# The folder of Debian's package dataset-fashion-mnist.
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
# The last images of the official training set: there is no official validation split.
VALID = 5000
MAX_BYTES = 2**30  # of one file's array; EMNIST, the largest data set in this format, has half of that
# Of a gzip file: MNIST's deflate by a factor of 4 to 10, and the limit of deflate is 1,032.
MAX_RATIO = 200
CHUNK = 2**24  # bytes read at once
MAGIC = {1: b"\0\0\x08\x01", 3: b"\0\0\x08\x03"}


def fashion_mnist(options: DataOptions) -> Dataset:
    """Return the splits train (55,000), valid (5,000) and test (10,000) of 28x28. The attribute is the class, 0 to 9.

    Any folder with four files in MNIST's format may be given. Raises BadInput, which names a file that is missing or damaged.
    """
    folder = options.dir or DEBIAN
    images, classes = _read(folder, "train")
    test = Split(*_read(folder, "t10k"))
    if len(images) <= VALID:
        raise BadInput(f"{folder}: expected more than {VALID} training images, found {len(images)}")
    splits = {
        "train": Split(images[:-VALID], classes[:-VALID]),
        "valid": Split(images[-VALID:], classes[-VALID:]),
        "test": test,
    }
    return Dataset("fashion_mnist", splits, attributes=("class",))


def _read(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (images [n, 28, 28, 1], classes [n, 1])."""
    images = read_idx(folder / f"{name}-images-idx3-ubyte", 3)
    labels = read_idx(folder / f"{name}-labels-idx1-ubyte", 1)
    if len(images) != len(labels):
        raise BadInput(f"{folder}: {name} has {len(images)} images but {len(labels)} labels; get the four files anew")
    return images[..., None], labels.astype(np.int32)[:, None]


def read_idx(path: Path, rank: int) -> np.ndarray:
    """Return the uint8 array of an idx file of this rank, at `path` or at `path`.gz. Raises BadInput, which names the file."""
    gz = path.with_name(path.name + ".gz")
    if not path.exists() and not gz.exists():
        raise BadInput(
            f"config.data.dir: expected {path.name} or {gz.name} in {path.parent}, found neither; give the folder of the "
            "four files (Debian's package dataset-fashion-mnist has them)"
        )
    found = path if path.exists() else gz
    try:
        with gzip.open(found) if found == gz else open(found, "rb") as file:
            shape = _shape(found, file.read(4 + 4 * rank), rank)
            size = math.prod(shape)
            most = found.stat().st_size * (MAX_RATIO if found == gz else 1)
            # No more than is there or was declared: a gzip file can inflate without end.
            data = _read_most(file, min(size, most) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{found}: can't be read ({reason(error)}); get it anew") from error
    if len(data) > most:
        raise BadInput(f"{found}: inflates over {MAX_RATIO} times: looks like a bomb; get it anew")
    if len(data) != size:
        read = f"found {len(data)}; truncated?" if len(data) < size else "found more; get it anew"
        raise BadInput(f"{found}: expected {size} bytes for {shape}, {read}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _read_most(file: Any, size: int) -> bytes:
    """Return up to `size` bytes. One read of them all would take the memory before it finds how many there are."""
    parts = []
    while size > 0 and (part := file.read(min(size, CHUNK))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _shape(path: Path, header: bytes, rank: int) -> tuple[int, ...]:
    if len(header) < 4 + 4 * rank or header[:4] != MAGIC[rank]:
        raise BadInput(
            f"{path}: expected an idx file of unsigned bytes with {rank} dimensions, found {header[:4].hex()}"
        )
    shape = tuple(int(n) for n in np.frombuffer(header[4:], ">i4"))
    if min(shape) < 1 or math.prod(shape) > MAX_BYTES:
        raise BadInput(f"{path}: expected 1 to {MAX_BYTES} bytes, found the shape {shape}; get it anew")
    return shape
