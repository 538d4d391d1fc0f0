"""Distances of draws to a Gaussian posterior: what each part sees, in closed form, and what it does not see."""

import numpy as np
import pytest

from sde_vae.metrics.sets.posterior_fidelity import exact_draws, posterior_fidelity

RNG = np.random.default_rng(0)
MEAN = np.array([1.0, -2.0, 0.5])
ROOT = np.array([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-0.3, 0.2, 0.7]])
COVARIANCE = ROOT @ ROOT.T
N = 40_000
SIZE = np.sqrt(np.trace(COVARIANCE))


def of(draws):
    return posterior_fidelity(draws, MEAN, COVARIANCE, np.random.default_rng(1))


def test_exact_draws_have_the_moments_and_are_near_in_every_way():
    draws = exact_draws(MEAN, COVARIANCE, N, RNG)
    np.testing.assert_allclose(np.cov(draws.T), COVARIANCE, atol=5 * np.trace(COVARIANCE) / np.sqrt(N))
    assert max(of(draws)) < 5 / np.sqrt(N) * 3


def test_a_shift_is_the_means_alone():
    exact, shift = exact_draws(MEAN, COVARIANCE, N, RNG), np.array([0.5, 0.0, -0.5])
    found, length = of(exact + shift), np.linalg.norm(shift) / SIZE
    assert found.mean == pytest.approx(length, abs=0.02)
    assert found.covariance < 0.03
    # On random lines a shift costs its length over the root of the dimension.
    assert found.sliced_wasserstein == pytest.approx(length, rel=0.1)


def test_a_scale_is_the_covariances_alone():
    exact = exact_draws(MEAN, COVARIANCE, N, RNG)
    found = of(MEAN + 0.5 * (exact - MEAN))
    assert found.mean < 0.02
    assert found.covariance == pytest.approx(0.75, abs=0.02)
    # Half of the deviation on every line.
    assert found.sliced_wasserstein == pytest.approx(0.5, rel=0.1)


def test_a_covariance_without_full_rank_has_draws_on_its_plane():
    flat = np.diag([1.0, 0.0, 2.0])
    draws = exact_draws(np.zeros(3), flat, 100, RNG)
    assert np.abs(draws[:, 1]).max() < 1e-7
    assert draws[:, 0].std() > 0.5
