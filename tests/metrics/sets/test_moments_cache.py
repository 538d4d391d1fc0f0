"""The cache of moments: what was made is given back, and never to another key."""

import numpy as np
import pytest

from sde_vae.errors import BadInput, NotWritten
from sde_vae.metrics.sets.frechet import moments
from sde_vae.metrics.sets.moments_cache import cached_moments, folder_name

RNG = np.random.default_rng
KEY = {"dataset": "digits", "split": "test", "n": 30, "extractor": "pixels", "identity": "ab", "data": "cd"}
MADE = moments(RNG(6).normal(size=(30, 4)))


def equal(a, b):
    return a.n == b.n and np.array_equal(a.mean, b.mean) and np.array_equal(a.scatter, b.scatter)


def never():
    raise AssertionError("made again")


def test_the_cache_gives_back_what_was_made(tmp_path):
    folder = tmp_path / "new"
    assert equal(cached_moments(folder, KEY, lambda: MADE), MADE)
    assert equal(cached_moments(folder, KEY, never), MADE)
    assert [p.name for p in folder.iterdir()] == [folder_name(KEY)]


@pytest.mark.parametrize("field", KEY)
def test_the_cache_refuses_another_key(tmp_path, field):
    """Whatever differs is named, even if the file was given the name that the other key would have."""
    cached_moments(tmp_path, KEY, lambda: MADE)
    other = {**KEY, field: 31 if field == "n" else "else"}
    (tmp_path / folder_name(KEY)).rename(tmp_path / folder_name(other))
    with pytest.raises(BadInput, match=rf"moments-.*: made for {field} = "):
        cached_moments(tmp_path, other, never)


def test_the_cache_wants_the_fields_of_its_name(tmp_path):
    with pytest.raises(BadInput, match="no 'split'"):
        cached_moments(tmp_path, {k: v for k, v in KEY.items() if k != "split"}, never)
    assert "/" not in folder_name({**KEY, "dataset": "a/../b"})


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_file_is_made_again(tmp_path, seed):
    """Cut short anywhere it is noticed; a flipped byte is noticed, or was in a place that means nothing."""
    cached_moments(tmp_path, KEY, lambda: MADE)
    path = tmp_path / folder_name(KEY) / "moments.npz"
    data = bytearray(path.read_bytes())
    place = int(RNG(seed).integers(len(data)))
    path.write_bytes(data[:place])
    with pytest.warns(UserWarning, match="made again"):
        assert equal(cached_moments(tmp_path, KEY, lambda: MADE), MADE)
    assert equal(cached_moments(tmp_path, KEY, never), MADE)
    data[place] ^= 0xFF
    path.write_bytes(data)
    remade = []
    try:
        found = cached_moments(tmp_path, KEY, lambda: remade.append(1) or MADE)
    except UserWarning:  # warnings are errors here: it was noticed
        return
    assert equal(found, MADE)
    assert not remade


def test_a_pickle_is_not_read(tmp_path):
    cached_moments(tmp_path, KEY, lambda: MADE)
    path = tmp_path / folder_name(KEY) / "moments.npz"
    np.savez(path, n=np.array([KEY], object), mean=MADE.mean, scatter=MADE.scatter)
    with pytest.warns(UserWarning, match="allow_pickle=False"):
        assert equal(cached_moments(tmp_path, KEY, lambda: MADE), MADE)


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(file, **arrays):
        file.write(b"half")
        assert not (tmp_path / folder_name(KEY) / "moments.npz").exists()
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(NotWritten, match="cannot be written"):
        cached_moments(tmp_path, KEY, lambda: MADE)
    assert not list((tmp_path / folder_name(KEY)).iterdir())
