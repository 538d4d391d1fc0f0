"""The cache of decoded images: what goes in comes out, in any process, and nothing half-written is ever read."""

import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sde_vae.data.dataset import take
from sde_vae.data.record_cache import Picture, Skipped, cached
from sde_vae.data.records import Records, Subset
from sde_vae.errors import BadInput

N, SHAPE = 40, (6, 5, 3)
KEY = {"name": "some/pictures", "source": "abc", "size": (6, 5)}


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (N, *SHAPE), np.uint8)


def build(folder, images, key=KEY):
    rows = np.arange(2 * N).reshape(N, 2)
    return cached(folder, key, N, lambda: (Picture(x, a) for x, a in zip(images, rows, strict=True)))


def never():
    raise AssertionError("built again")


def reopen(folder, key=KEY):
    return cached(folder, key, N, never)


def same(a, images):
    return len(a) == len(images) and all(np.array_equal(a[i], x) for i, x in enumerate(images))


def test_reads_back_what_was_written_and_builds_once(tmp_path, images):
    for cache in (build(tmp_path, images), reopen(tmp_path)):
        assert same(cache.images, images)
        np.testing.assert_array_equal(cache.attributes, np.arange(2 * N).reshape(N, 2))
        order = np.random.default_rng(1).permutation(N)
        np.testing.assert_array_equal(np.stack(cache.images.__getitems__(order)), images[order])
        assert cache.images[np.int64(3)].dtype == np.uint8
    assert len(list(tmp_path.iterdir())) == 1


def test_another_key_is_another_cache(tmp_path, images):
    build(tmp_path, images)
    other = build(tmp_path, 255 - images, KEY | {"source": "abd"})
    assert same(other.images, 255 - images)
    assert same(reopen(tmp_path).images, images)
    with pytest.raises(AssertionError, match="built again"):
        reopen(tmp_path, KEY | {"size": (6, 6)})


def test_index_outside_is_an_error_and_so_iteration_ends(tmp_path, images):
    records = build(tmp_path, images).images
    for i in (-1, N):
        with pytest.raises(IndexError):
            records[i]
    assert len(list(records)) == N


def test_skipped_are_remembered(tmp_path, images):
    def make():
        for i, x in enumerate(images):
            yield Skipped(f"picture {i}: odd") if i % 7 == 2 else Picture(x)

    kept = [x for i, x in enumerate(images) if i % 7 != 2]
    for cache in (cached(tmp_path, KEY, N, make), reopen(tmp_path)):
        assert same(cache.images, kept)
        assert cache.attributes is None
        assert cache.skipped == tuple(f"picture {i}: odd" for i in range(2, N, 7))


def test_nothing_to_keep_is_bad_input_and_leaves_nothing(tmp_path):
    with pytest.raises(BadInput, match=r"none of its 40 images can be used: a\.png: odd"):
        cached(tmp_path, KEY, N, lambda: iter([Skipped("a.png: odd")] * N))
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_dies_is_not_taken_for_whole(tmp_path, images):
    def make():
        yield Picture(images[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, KEY, N, make)
    assert list(tmp_path.iterdir()) == []
    assert same(build(tmp_path, images).images, images)


def test_of_two_builds_at_once_the_first_to_finish_is_used_by_both(tmp_path, images):
    def slow():
        yield Picture(255 - images[0], np.zeros(2))
        build(tmp_path, images)  # another process, in the middle of this one

    assert same(cached(tmp_path, KEY, N, slow).images, images)
    assert same(reopen(tmp_path).images, images)
    assert len(list(tmp_path.iterdir())) == 1


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def blank(path):
    path.write_bytes(bytes(path.stat().st_size))


def other_key(path):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"key": {}}))


@pytest.mark.parametrize("harm", [cut, blank, lambda path: path.unlink()], ids=["cut", "blank", "gone"])
@pytest.mark.parametrize("name", ["images.array_record", "meta.json", "attributes.npy"])
def test_damage_is_noticed_and_repaired(tmp_path, images, name, harm):
    build(tmp_path, images)
    harm(next(tmp_path.glob(f"*/{name}")))
    with pytest.warns(UserWarning, match="built again"):
        assert same(build(tmp_path, images).images, images)
    assert same(reopen(tmp_path).images, images)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_with_the_right_name_and_another_key_is_not_used(tmp_path, images):
    build(tmp_path, images)
    other_key(next(tmp_path.glob("*/meta.json")))
    with pytest.warns(UserWarning, match="its key is another one"):
        build(tmp_path, images)


def test_a_changed_byte_is_an_error_and_not_a_picture(tmp_path, images):
    build(tmp_path, images)
    path = next(tmp_path.glob("*/images.array_record"))
    raw = bytearray(path.read_bytes())
    raw[bytes(raw).find(images[7].tobytes()[:32])] ^= 1
    path.write_bytes(raw)
    records = reopen(tmp_path).images
    with pytest.raises(BadInput, match="damaged, delete its folder"):
        records[7]
    np.testing.assert_array_equal(records[8], images[8])


FORK = """
import os, sys, pickle
import numpy as np
records, expected = pickle.loads(sys.stdin.buffer.read())
def check():
    assert all(np.array_equal(a, b) for a, b in zip(records.__getitems__(range(len(expected))), expected, strict=True))
    assert np.array_equal(records[3], expected[3])
check()
child = os.fork()
if child == 0:
    check()
    os._exit(7)
check()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


def test_threads_and_forked_processes_read_what_the_parent_opened(tmp_path, images):
    records = build(tmp_path, images).images
    with ThreadPoolExecutor(8) as pool:
        assert same(list(pool.map(records.__getitem__, range(N))), images)
    # In a fresh process, for this one has JAX's threads, and they do not survive a fork.
    subprocess.run([sys.executable, "-c", FORK], input=pickle.dumps((records, images)), check=True, timeout=60)


@pytest.mark.parametrize(
    "of", [lambda folder, x: x, lambda folder, x: build(folder, x).images], ids=["array", "records"]
)
def test_a_subset_is_the_images_of_its_index(tmp_path, images, of):
    index = np.random.default_rng(2).permutation(N)[:10]
    subset = Subset(of(tmp_path, images), index)
    assert same(subset, images[index])
    np.testing.assert_array_equal(take(subset, np.arange(9, -1, -1)), images[index[::-1]])


def test_pickle_is_small_and_reads_the_same(tmp_path, images):
    records = build(tmp_path, images).images
    pickled = pickle.dumps(Subset(records, np.array([5, 1])))
    assert len(pickled) < images.nbytes / 2
    assert same(pickle.loads(pickled), images[[5, 1]])


def test_wrong_shapes_and_lengths_are_the_programmers_error(tmp_path, images):
    with pytest.raises(TypeError, match="picture 1 is uint8"):
        cached(tmp_path, KEY, 2, lambda: iter([Picture(images[0]), Picture(images[1, 1:])]))
    cache = build(tmp_path, images)
    with pytest.raises(ValueError, match="does not hold 3 whole records"):
        Records(cache.images.path, 3, SHAPE)
