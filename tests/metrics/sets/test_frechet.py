"""Frechet's distance against closed forms; moments that add up."""

import numpy as np
import pytest
import scipy.linalg

from sde_vae.errors import BadInput
from sde_vae.metrics.sets import frechet
from sde_vae.metrics.sets.extractors import Extractor
from sde_vae.metrics.sets.frechet import Moments, frechet_distance, merge, moments

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


def test_moments_of_batches_are_those_of_the_whole_and_one_shape_is_compiled():
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
