"""The Gaussian of the aggregate posterior has the moments of the mixture it stands for."""

import numpy as np

from sde_vae.metrics.latent.gaussian import LatentGaussian, fit, standard

RNG = np.random.default_rng(0)
MEAN = RNG.standard_normal((50, 3)) @ RNG.standard_normal((3, 3)) + 1
LOG_VAR = RNG.standard_normal((50, 3)) - 1


def test_the_law_of_total_variance():
    """E zz^T of a mixture is the mean of those of its parts."""
    found = fit(MEAN, LOG_VAR)
    second = np.mean([np.outer(m, m) + np.diag(np.exp(v)) for m, v in zip(MEAN, LOG_VAR, strict=True)], axis=0)
    np.testing.assert_allclose(found.mean, MEAN.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, second - np.outer(found.mean, found.mean), rtol=1e-10)
    np.testing.assert_allclose(found.std, np.sqrt(np.diag(found.covariance)))


def test_one_posterior_is_its_own_aggregate():
    found = fit(MEAN[:1], LOG_VAR[:1])
    np.testing.assert_allclose(found.covariance, np.diag(np.exp(LOG_VAR[0])), rtol=1e-12)


def test_draws_have_its_moments():
    gaussian, n = fit(MEAN, LOG_VAR), 100_000
    z = gaussian.sample(np.random.default_rng(1), n)
    assert z.dtype == np.float32
    # Whitened, they are standard normal: means to 1 / sqrt(n), second moments to sqrt(2 / n); at most 5 deviations of either.
    white = np.linalg.solve(np.linalg.cholesky(gaussian.covariance), (z - gaussian.mean[None]).T)
    assert np.abs(white.mean(axis=1)).max() < 5 / np.sqrt(n)
    assert np.abs(white @ white.T / n - np.eye(3)).max() < 5 * np.sqrt(2 / n)
    np.testing.assert_array_equal(z, gaussian.sample(np.random.default_rng(1), n))


def test_a_standard_normal_is_one():
    z = standard(4).sample(np.random.default_rng(0), 100_000)
    assert np.abs(np.cov(z.T, bias=True) - np.eye(4)).max() < 5 * np.sqrt(2 / len(z))


def test_nothing_is_drawn_where_there_is_no_width():
    """A dead dimension, and one that is the sum of two others."""
    span = np.array([[1.0, 0, 0, 1], [0, 1, 0, 1]])
    z = LatentGaussian(np.zeros(4), span.T @ span).sample(np.random.default_rng(0), 1000)
    np.testing.assert_allclose(z[:, 2], 0, atol=1e-6)
    np.testing.assert_allclose(z[:, 3], z[:, 0] + z[:, 1], atol=1e-5)
    assert z[:, 0].std() > 0.9
