"""Frechet's distance and the kernel distance against closed forms; moments that add up; the cache that keeps them."""

import itertools

import numpy as np
import pytest
import scipy.linalg

from sde_vae.errors import BadInput
from sde_vae.metrics.sets import frechet, kid
from sde_vae.metrics.sets.extractors import Extractor
from sde_vae.metrics.sets.frechet import Moments, frechet_distance, merge, moments
from sde_vae.metrics.sets.moments_cache import cached_moments, folder_name

RNG = np.random.default_rng


def gaussian(mean, covariance, n=11):
    """Moments whose mean and covariance are exactly these."""
    return Moments(n, np.asarray(mean, float), (n - 1) * np.asarray(covariance, float))


def covariance(rng, dim, least=0.5):
    """Symmetric, eigenvalues in [least, least + 2], in a random basis."""
    basis = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    return basis @ np.diag(least + 2 * rng.random(dim)) @ basis.T


def test_commuting_gaussians():
    """With one basis for both, sum (sqrt a_i - sqrt b_i)^2 beside the means."""
    rng = RNG(0)
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    a, b, mu, nu = rng.random((4, 5))
    expected = np.sum((mu - nu) ** 2) + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    A, B = (basis @ np.diag(values) @ basis.T for values in (a, b))
    assert frechet_distance(gaussian(mu, A), gaussian(nu, B)) == pytest.approx(expected, rel=1e-12)


def test_gaussians_that_do_not_commute():
    rng = RNG(1)
    A, B, mu, nu = covariance(rng, 8), covariance(rng, 8), *rng.normal(size=(2, 8))
    root = scipy.linalg.sqrtm(A @ B)
    expected = np.sum((mu - nu) ** 2) + np.trace(A + B - 2 * root.real)
    assert frechet_distance(gaussian(mu, A), gaussian(nu, B)) == pytest.approx(expected, rel=1e-10)


def test_singular_gaussians():
    """Two line segments, A = u u^T and B = v v^T: tr (A B)^{1/2} = |u.v|; and a point has no spread at all."""
    u, v = RNG(2).normal(size=(2, 6))
    a, b, point = gaussian(u, np.outer(u, u)), gaussian(v, np.outer(v, v)), gaussian(0 * u, np.zeros((6, 6)))
    expected = np.sum((u - v) ** 2) + u @ u + v @ v - 2 * abs(u @ v)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(a, point) == pytest.approx(2 * u @ u, rel=1e-12)


@pytest.mark.parametrize("n", [20, 500], ids=["singular", "full rank"])
def test_a_distance(n):
    """Zero to itself, symmetric, and blind to a rotation of the features, with fewer images than features and with more."""
    rng = RNG(3)
    x, y = rng.normal(size=(n, 64)) * np.geomspace(1e-3, 3, 64), rng.normal(size=(n, 64)) + 0.1
    a, b = moments(x), moments(y)
    d = frechet_distance(a, b)
    rotation = np.linalg.qr(rng.normal(size=(64, 64)))[0]
    assert frechet_distance(a, a) < 1e-8
    assert frechet_distance(b, b) < 1e-8
    assert frechet_distance(b, a) == pytest.approx(d, rel=1e-10)
    assert frechet_distance(moments(x @ rotation), moments(y @ rotation)) == pytest.approx(d, rel=1e-7)


@pytest.mark.parametrize("seed", range(20))
def test_moments_add_up_over_any_partition(seed):
    """In any order, far from the origin, with parts of one example."""
    rng = RNG(seed)
    x = rng.normal(size=(rng.integers(2, 60), 7)) + 100
    cuts = np.sort(rng.integers(1, len(x), rng.integers(0, 12)))
    parts = [moments(part) for part in np.split(x, cuts) if len(part)]
    while len(parts) > 1:
        i, j = rng.choice(len(parts), 2, replace=False)
        merged = merge(parts[i], parts[j])
        parts = [part for k, part in enumerate(parts) if k not in (i, j)] + [merged]
    assert parts[0].n == len(x)
    np.testing.assert_allclose(parts[0].mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(parts[0].covariance, np.cov(x, rowvar=False), atol=1e-10)


def test_a_stream_is_the_whole_and_one_shape_is_compiled():
    images = RNG(4).integers(0, 256, (23, 2, 2, 1)).astype(np.uint8)
    shapes = []

    def features(batch):
        shapes.append(batch.shape)
        return batch.reshape(len(batch), -1).astype(np.float32)

    extractor = Extractor("pixels", 4, features, "0", "1", False)
    streamed = frechet.moments_of(extractor, iter(np.split(images, [8, 16])))
    whole = moments(features(images))
    assert streamed.n == 23
    np.testing.assert_allclose(streamed.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(streamed.scatter, whole.scatter, rtol=1e-10)
    assert shapes[:3] == [(8, 2, 2, 1)] * 3


def test_what_has_no_moments_is_refused():
    with pytest.raises(BadInput, match="at least 2 images"):
        frechet_distance(moments(np.ones((1, 3))), moments(np.ones((5, 3))))
    with pytest.raises(BadInput, match="1 not finite"):
        moments(np.array([[1.0, 2.0], [np.nan, np.inf]]))
    with pytest.raises(BadInput, match="at least one batch"):
        frechet.moments_of(Extractor("none", 1, lambda x: x, "0", "1", False), iter([]))
    with pytest.raises(BadInput, match="one dimension, got 2 and 3"):
        frechet_distance(moments(np.ones((4, 2))), moments(np.ones((4, 3))))


def test_the_distance_of_equal_distributions_falls_with_the_number_of_images():
    x = np.random.default_rng(5).normal(size=(4000, 6))
    parts = {n: [moments(x[i : i + n]) for i in range(0, 20 * n, n)] for n in (20, 200)}
    small, large = (
        np.mean([frechet_distance(a, b) for a, b in zip(p[::2], p[1::2], strict=True)]) for p in parts.values()
    )
    assert large < small / 5


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
    with pytest.raises(OSError, match="disk full"):
        cached_moments(tmp_path, KEY, lambda: MADE)
    assert not list((tmp_path / folder_name(KEY)).iterdir())


def test_the_kernel_distance_by_brute_force():
    rng = RNG(7)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(6, 3)) + 0.5

    def mean(a, b, pairs):
        return np.mean([(a[i] @ b[j] / 3 + 1) ** 3 for i, j in pairs])

    within_x, within_y = (mean(a, a, itertools.permutations(range(len(a)), 2)) for a in (x, y))
    across = mean(x, y, itertools.product(range(5), range(6)))
    assert kid.mmd2(x, y) == pytest.approx(within_x + within_y - 2 * across, rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_kernel_distance_is_unbiased(shift):
    """In one dimension (xy + 1)^3 = sum_k C(3, k) x^k y^k, so MMD^2 = sum_k C(3, k) (E x^k - E y^k)^2; for N(s, 1) the moments
    are s, 1 + s^2, 3 s + s^3. Also zero for equal distributions, where a biased estimate would not be."""
    s = shift
    exact = 3 * s**2 + 3 * s**4 + (3 * s + s**3) ** 2
    rng = RNG(8)
    values = [kid.mmd2(rng.normal(size=(8, 1)), rng.normal(size=(8, 1)) + s) for _ in range(3000)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - exact) < 4 * error
    # What an image's comparison with itself would add, (E k(x, x) - E k(x, x')) / n for each set, is (28 - 4) / 8 or more.
    assert 10 * error < 2 * 3


def test_the_standard_error_is_that_of_drawing_anew():
    """Against 150 data sets of the same two distributions."""
    rng = RNG(9)
    draws = [kid.kid(rng.normal(size=(60, 4)), rng.normal(size=(60, 4)) + 0.7, 30, 20, seed) for seed in range(150)]
    spread = np.std([draw.value for draw in draws])
    assert np.sqrt(np.mean([draw.standard_error**2 for draw in draws])) == pytest.approx(spread, rel=0.2)


def test_the_kernel_distance_takes_at_most_half_of_a_set():
    rng = RNG(10)
    x, y = rng.normal(size=(10, 2)), rng.normal(size=(30, 2))
    assert kid.kid(x, y, size=1000) == kid.kid(x, y, size=5)
    with pytest.raises(BadInput, match="4 images"):
        kid.kid(x[:3], y)


def test_kid_of_pairs_is_unbiased_where_the_sets_are_not_independent():
    """Equal sets have distance zero; compared as if they were independent, they seem nearer than nothing."""
    x = RNG(7).normal(size=(40, 3))
    assert kid.mmd2_of_pairs(x, x) == pytest.approx(0, abs=1e-12)
    assert kid.kid_of_pairs(x, x).value == pytest.approx(0, abs=1e-12)
    assert kid.mmd2(x, x) < -0.1


def test_kid_of_pairs_by_brute_force():
    x, y = RNG(8).normal(size=(6, 2)), RNG(9).normal(size=(6, 2))
    k = lambda a, b: (a @ b / 2 + 1) ** 3
    pairs = list(itertools.permutations(range(6), 2))
    terms = [k(x[i], x[j]) + k(y[i], y[j]) - 2 * k(x[i], y[j]) for i, j in pairs]
    assert kid.mmd2_of_pairs(x, y) == pytest.approx(np.mean(terms), rel=1e-12)
    with pytest.raises(BadInput, match="expected pairs, got 6 and 5"):
        kid.kid_of_pairs(x, y[:5])
