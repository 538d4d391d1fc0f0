"""Statistics of posteriors, against aggregates whose total correlation is known in closed form."""

import numpy as np
import pytest
from scipy.stats import chi2

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.metrics.latent import statistics

RNG = np.random.default_rng(0)


def with_covariance(n, covariance):
    """n vectors whose sample covariance (over n) is this one, to rounding."""
    x = RNG.standard_normal((n, len(covariance)))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / n)).T @ np.linalg.cholesky(covariance).T


def total_correlation(covariance):
    return 0.5 * (np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1])


COVARIANCE = np.array([[1.0, 0.6, 0.2], [0.6, 2.0, -0.5], [0.2, -0.5, 0.5]])


def test_units_are_active_above_a_variance_of_a_hundredth():
    mean = with_covariance(50, np.diag([0.0101, 0.0099, 3.0]))
    np.testing.assert_array_equal(statistics.active(mean), [True, False, True])
    # Where the means lie does not matter, in single precision either.
    np.testing.assert_array_equal(statistics.active((mean + 5).astype(np.float32)), [True, False, True])


def test_kl_per_dimension_by_hand_and_in_sum():
    mean, log_var = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([[0.0, np.log(4)], [0.0, np.log(4)]])
    np.testing.assert_allclose(statistics.kl_per_dimension(mean, log_var), [0.5, 0.5 * (3 - np.log(4))], rtol=1e-6)
    mean, log_var = RNG.standard_normal((2, 20, 5)).astype(np.float32)
    total = np.mean(DiagGaussian(mean, log_var).kl_to_standard())
    np.testing.assert_allclose(statistics.kl_per_dimension(mean, log_var).sum(), total, rtol=1e-6)


def test_effective_dimensions_count_equal_parts():
    for m in (1, 3, 7):
        assert statistics.effective_dimensions(np.array([0.2] * m + [0.0] * 4)) == pytest.approx(m)
    assert statistics.effective_dimensions(np.zeros(4)) == 0
    assert 1 < statistics.effective_dimensions(np.array([9.0, 1.0])) < 2


def test_the_total_correlation_of_a_gaussian_aggregate():
    log_var = RNG.standard_normal((400, 3))
    aggregate = COVARIANCE + np.diag(np.exp(log_var).mean(axis=0))
    mean = with_covariance(400, COVARIANCE)
    found = statistics.gaussian_total_correlation(mean, log_var)
    np.testing.assert_allclose(found, total_correlation(aggregate), rtol=1e-10)
    # Units of measurement and the place of the origin are no dependence.
    scale = np.array([0.1, 3.0, -7.0])
    moved = statistics.gaussian_total_correlation(mean * scale + 4, log_var + 2 * np.log(np.abs(scale)))
    np.testing.assert_allclose(moved, found, rtol=1e-10)


def test_independent_dimensions_have_what_bartlett_says():
    n, d = 2000, 6
    found = statistics.gaussian_total_correlation(RNG.standard_normal((n, d)), np.full((n, d), -20.0))
    # 2 n times it is chi-square with one degree for each pair.
    assert chi2.ppf(1e-4, 15) < 2 * n * found < chi2.ppf(1 - 1e-4, 15)


def test_the_reference_is_the_mean_of_independent_dimensions():
    n, d = 1000, 6
    log_var = np.tile(np.linspace(-6, 1, d), (n, 1))
    draws = [RNG.standard_normal((n, d)) for _ in range(100)]
    found = [statistics.gaussian_total_correlation(mean, log_var) for mean in draws]
    reference = statistics.gaussian_total_correlation_reference(draws[0], log_var)
    assert abs(np.mean(found) - reference) < 4 * np.std(found) / np.sqrt(len(found))
    of_points = statistics.gaussian_total_correlation_reference(draws[0], log_var - 40)
    assert of_points == pytest.approx(d * (d - 1) / (4 * n))


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_bounds_of_two_points_that_all_dimensions_agree_on(d):
    """Half of the images at (9, .., 9), half at (-9, .., -9): each dimension knows the others, d - 1 times log 2."""
    n = 40
    mean = np.repeat([[9.0], [-9.0]], n // 2, axis=0) * np.ones((1, d))
    bounds = statistics.total_correlation_bounds(mean, np.zeros((n, d)), RNG.standard_normal((n, d)))
    of_others = np.log((n / 2 - 1) / (n - 1))
    np.testing.assert_allclose(bounds.lower, of_others + d * np.log(2), atol=1e-9)
    np.testing.assert_allclose(bounds.upper, -np.log(2) - d * of_others, atol=1e-9)
    assert bounds.lower.mean() < (d - 1) * np.log(2) < bounds.upper.mean()


def test_the_bounds_of_two_independent_dimensions_hold_zero():
    """Four points, each as often: as above, but nothing to know."""
    n = 80
    mean = np.repeat([[9.0, 9.0], [9.0, -9.0], [-9.0, 9.0], [-9.0, -9.0]], n // 4, axis=0)
    bounds = statistics.total_correlation_bounds(mean, np.zeros((n, 2)), RNG.standard_normal((n, 2)))
    np.testing.assert_allclose(bounds.lower, np.log((n / 4 - 1) / (n - 1)) + np.log(4), atol=1e-9)
    np.testing.assert_allclose(bounds.upper, -np.log(4) - 2 * np.log((n / 2 - 1) / (n - 1)), atol=1e-9)
    assert bounds.lower.mean() < 0 < bounds.upper.mean()


@pytest.mark.parametrize("variance", [1.0, 0.3, 0.01])
def test_the_bounds_hold_what_a_gaussian_aggregate_has(variance):
    n = 800
    mean = RNG.standard_normal((n, 3)) @ np.linalg.cholesky(COVARIANCE).T
    log_var = np.full((n, 3), np.log(variance))
    bounds = statistics.total_correlation_bounds(mean, log_var, RNG.standard_normal((n, 3)))
    exact = total_correlation(COVARIANCE + variance * np.eye(3))
    low, high = (np.mean(b) for b in bounds)
    error = 4 * max(np.std(b) for b in bounds) / np.sqrt(n)
    assert low - error < exact < high + error
    # The bounds differ by what an image itself adds to a mean of n: log(1 + chi / n), chi = E q(z | x) / q(z), in the joint and
    # in each margin. For Gaussians chi is the determinant of 1 + signal / noise.
    chi = np.array([np.linalg.det(COVARIANCE / variance + np.eye(3)), *(np.diag(COVARIANCE) / variance + 1)])
    assert 0 < high - low < np.log1p(chi / n).sum()
    # The same from its covariance.
    np.testing.assert_allclose(statistics.gaussian_total_correlation(mean, log_var), exact, atol=error)
