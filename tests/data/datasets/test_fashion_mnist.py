"""Fashion-MNIST: idx files, read exactly and refused by name."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from sde_vae.data.dataset import DataOptions
from sde_vae.data.datasets.fashion_mnist import DEBIAN, fashion_mnist, read_idx
from sde_vae.errors import BadInput

OPTIONS = DataOptions(None, 28, 1, 0, "bilinear", False, Path("unused"))


def write_idx(path, array, zipped=False):
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
    data = header + array.tobytes()
    path.write_bytes(gzip.compress(data) if zipped else data)


def fashion_like(folder, train=5100, test=20):
    rng = np.random.default_rng(0)
    for name, n, zipped in [("train", train, True), ("t10k", test, False)]:
        end = ".gz" if zipped else ""
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        write_idx(folder / f"{name}-images-idx3-ubyte{end}", images, zipped)
        write_idx(folder / f"{name}-labels-idx1-ubyte{end}", rng.integers(0, 10, n, dtype=np.uint8), zipped)
    return images


def test_idx_files_are_read_exactly_gzipped_or_not(tmp_path):
    last = fashion_like(tmp_path)
    data = fashion_mnist(OPTIONS._replace(dir=tmp_path))
    assert {name: len(split.images) for name, split in data.splits.items()} == {"train": 100, "valid": 5000, "test": 20}
    np.testing.assert_array_equal(data.split("test").images[..., 0], last)
    assert data.shape == (28, 28, 1)


@pytest.mark.parametrize("zipped", [False, True])
def test_no_more_of_an_idx_file_is_read_than_its_header_says(tmp_path, zipped):
    """However much a gzip file would inflate to, and however much it says it will."""
    whole = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    path = tmp_path / f"a{'.gz' if zipped else ''}"
    write_idx(path, whole, zipped)
    np.testing.assert_array_equal(read_idx(tmp_path / "a", 3), whole)
    header = b"\0\0\x08\x03" + struct.pack(">3i", 3, 4, 5)
    huge = b"\0\0\x08\x03" + struct.pack(">3i", 2**30, 2**30, 2**30)
    for start, message in ((header, "expected 60 bytes for .* found more"), (huge, "expected 1 to 1073741824 bytes")):
        data = start + bytes(2**24)
        path.write_bytes(gzip.compress(data, 1) if zipped else data)
        del data
        tracemalloc.start()
        with pytest.raises(BadInput, match=message):
            read_idx(tmp_path / "a", 3)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**20


@pytest.mark.parametrize("shape", [(0, 4, 5), (-3, -4, 5), (3, 4, -5)])
def test_an_idx_file_without_bytes(tmp_path, shape):
    (tmp_path / "a").write_bytes(b"\0\0\x08\x03" + struct.pack(">3i", *shape) + bytes(60))
    with pytest.raises(BadInput, match=r"a: expected 1 to \d+ bytes, found the shape"):
        read_idx(tmp_path / "a", 3)


def test_idx_files_that_are_wrong_are_named(tmp_path):
    options = OPTIONS._replace(dir=tmp_path)
    with pytest.raises(
        BadInput, match=r"expected train-images-idx3-ubyte or train-images-idx3-ubyte\.gz in .* neither"
    ):
        fashion_mnist(options)
    fashion_like(tmp_path)
    images, labels = tmp_path / "t10k-images-idx3-ubyte", tmp_path / "t10k-labels-idx1-ubyte"
    whole = images.read_bytes()
    for content, message in [
        (whole[:-1], "t10k-images-idx3-ubyte: expected 15680 bytes for .* found 15679; truncated"),
        (labels.read_bytes(), "t10k-images-idx3-ubyte: expected an idx file .* with 3 dimensions, found 00000801"),
        (whole[:8] + b"\0\0\0\x0e" + whole[12:], "expected 7840 bytes for .* found more"),
    ]:
        images.write_bytes(content)
        with pytest.raises(BadInput, match=message):
            fashion_mnist(options)
    images.write_bytes(whole)
    write_idx(labels, np.zeros(19, np.uint8))
    with pytest.raises(BadInput, match="t10k has 20 images but 19 labels"):
        fashion_mnist(options)
    zipped = tmp_path / "train-labels-idx1-ubyte.gz"
    zipped.write_bytes(zipped.read_bytes()[:-20])
    with pytest.raises(BadInput, match=r"train-labels-idx1-ubyte.gz: can't be read"):
        fashion_mnist(options)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="no dataset-fashion-mnist on this machine")
def test_the_real_fashion_mnist():
    data = fashion_mnist(OPTIONS)
    assert [len(split.images) for split in data.splits.values()] == [55_000, 5_000, 10_000]
    classes = np.concatenate([split.attributes[:, 0] for split in data.splits.values()])
    np.testing.assert_array_equal(np.bincount(classes), 7000)
