"""The cache of decoded images: what goes in comes out, in any process, and nothing half-written is ever read."""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter

from sde_vae.data.cache import record_cache
from sde_vae.data.cache.cache_folders import sibling
from sde_vae.data.cache.record_cache import Picture, Skipped, cached
from sde_vae.data.dataset import fingerprint, take
from sde_vae.data.io.records import Records, Subset
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


@pytest.mark.parametrize("name", ["images.array_record", "meta.json", "attributes.npy"])
def test_a_flipped_bit_changes_nothing_in_silence(tmp_path, images, name):
    """The split of a picture is in its attributes: it is built again, or named, and never read as another."""
    rows = np.arange(2 * N).reshape(N, 2)
    make = lambda: (Picture(x, a, ("turned",)) for x, a in zip(images, rows, strict=True))
    identity = cached(tmp_path, KEY, N, make).images.identity
    path = next(tmp_path.glob(f"*/{name}"))
    whole, rng, noticed = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(60):
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = cached(tmp_path, KEY, N, make)
        assert (found.images.identity, found.changes) == (identity, {"turned": N})
        np.testing.assert_array_equal(found.attributes, rows)
        with contextlib.suppress(BadInput):
            assert same(found.images, images)
            noticed -= 1
        noticed += 1 + len(said)
    # Bits of the padding between records are of no picture.
    assert noticed == 60 if name != "images.array_record" else noticed > 0


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
        Records(cache.images.path, 3, SHAPE, "")


def test_identity_is_that_of_all_the_images_in_their_order(tmp_path, images):
    """Not of where they lie, and not of a sample of them: any one byte makes another."""
    records = build(tmp_path / "a", images).images
    same = [build(tmp_path / "b", images, KEY | {"source": "abd"}).images, reopen(tmp_path / "a").images]
    assert {r.identity for r in (*same, pickle.loads(pickle.dumps(records)))} == {records.identity}
    assert fingerprint(records) == records.identity
    others = [images[::-1], images[:-1], images.reshape(N, 5, 6, 3)]
    for place in np.random.default_rng(3).integers(0, images.size, 5):
        others.append(images.copy())
        others[-1].flat[place] ^= 1

    def identity(i, x):
        return cached(tmp_path / str(i), KEY, len(x), lambda: map(Picture, x)).images.identity

    assert len({records.identity, *(identity(i, x) for i, x in enumerate(others))}) == 1 + len(others)


def test_identity_of_a_subset_is_that_of_its_images_and_places(tmp_path, images):
    records = build(tmp_path / "a", images).images
    other = build(tmp_path / "b", 255 - images).images
    subsets = [Subset(records, np.array(i)) for i in ([1, 2], [2, 1], [1], [1, 2, 3])] + [
        Subset(of, np.array([1, 2])) for of in (other, images)
    ]
    assert len({fingerprint(s) for s in subsets}) == len(subsets)
    again = Subset(reopen(tmp_path / "a").images, np.array([1, 2], np.int32))
    assert fingerprint(again) == fingerprint(pickle.loads(pickle.dumps(again))) == subsets[0].identity


def refused(folder, images):
    with pytest.raises(BadInput, match=r"^config\.data\.cache: ") as error:
        build(folder, images)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_cache_folder_that_is_a_file(tmp_path, images):
    (tmp_path / "file").write_bytes(b"mine")
    refused(tmp_path / "file", images)
    refused(tmp_path / "file" / "below", images)
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_cache_folder_that_cannot_be_written(tmp_path, images, monkeypatch):
    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", deny)
    assert "Permission denied" in refused(tmp_path, images)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this machine")
def test_a_full_disk(tmp_path, images, monkeypatch):
    monkeypatch.setattr(record_cache, "ArrayRecordWriter", lambda path, how: ArrayRecordWriter("/dev/full", how))
    assert "No space left on device" in refused(tmp_path, images)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["images.array_record", "meta.json", "attributes.npy"])
def test_what_may_not_be_read_is_not_damaged(tmp_path, images, name, monkeypatch):
    build(tmp_path, images)
    whole, really = next(tmp_path.iterdir()), open

    def deny(path, *how, **more):
        if os.path.basename(path) == name:
            raise PermissionError(13, "Permission denied", str(path))
        return really(path, *how, **more)

    with monkeypatch.context() as patch:  # not by chmod, which stops no superuser
        patch.setattr("builtins.open", deny)
        patch.setattr("io.open", deny)
        assert "Permission denied" in refused(tmp_path, images)
    assert list(tmp_path.iterdir()) == [whole]
    assert same(reopen(tmp_path).images, images)


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from sde_vae.data.cache.record_cache import Picture, cached
def make():
    yield Picture(np.zeros((6, 5, 3), np.uint8))
    os.kill(os.getpid(), signal.SIGKILL)
cached(Path(sys.argv[1]), {"name": "some/pictures", "source": "abc", "size": (6, 5)}, 40, make)
"""


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path, images):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], stderr=subprocess.DEVNULL, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    dead = left.name.split("-")[-2]
    path = tmp_path / left.name.partition(".building")[0]
    mine = sibling(path, "building")  # of a process that lives
    elsewhere = tmp_path / f"{path.name}.building-some.other.host-{dead}-0123abcd"
    other_key = tmp_path / left.name.replace(path.name, f"{path.name[:-1]}?")
    for folder in (mine, elsewhere, other_key):
        folder.mkdir()
    build(tmp_path, images)
    assert set(tmp_path.iterdir()) == {path, mine, elsewhere, other_key}


def test_a_long_name_is_cut(tmp_path, images):
    assert same(build(tmp_path, images, KEY | {"name": 250 * "x"}).images, images)
