"""Scores of draws: proper, without bias in the number of draws, and calibrated for draws of the truth's own law."""

import numpy as np
import pytest

from sde_vae.metrics.image.ensembles import coverage, crps, diversity, energy_score, nominal_coverage


def scores(function, spread, shift=0.0, n=20_000, draws=6, d=3):
    """The mean score of normal draws for standard normal truths, and its standard error."""
    rng = np.random.default_rng(0)
    values = function(shift + spread * rng.normal(size=(n, draws, d)), rng.normal(size=(n, d)))
    return values.mean(), values.std() / np.sqrt(n)


@pytest.mark.parametrize("function", [energy_score, crps])
def test_the_score_is_least_for_draws_of_the_truths_own_law(function):
    best, error = scores(function, 1.0)
    for spread, shift in ((0.5, 0.0), (1.6, 0.0), (1.0, 0.5), (1e-6, 0.0)):
        assert scores(function, spread, shift)[0] > best + 5 * error


def test_the_crps_of_a_normal_is_known():
    """E|X - Y| - 1/2 E|X - X'| = 1/sqrt(pi) for standard normals, however many draws there are."""
    for draws in (2, 10):
        value, error = scores(crps, 1.0, draws=draws)
        assert abs(value - 1 / np.sqrt(np.pi)) < 4 * error


def test_in_one_dimension_the_energy_score_is_the_crps():
    rng = np.random.default_rng(1)
    draws, truth = rng.normal(size=(5, 4, 1)), rng.normal(size=(5, 1))
    np.testing.assert_allclose(energy_score(draws, truth), crps(draws, truth), rtol=1e-12)


def test_coverage_is_nominal_for_the_truths_own_law_and_less_for_narrow_draws():
    counted = np.ones((20_000, 3), bool)
    of = lambda spread: scores(lambda x, y: coverage(x, y, counted), spread)
    value, error = of(1.0)
    assert abs(value - nominal_coverage(6)) < 4 * error
    assert of(0.5)[0] < nominal_coverage(6) - 0.1


def test_only_counted_pixels_are_covered():
    draws, truth = np.array([[[0.0, 0.0], [2.0, 2.0]]]), np.array([[1.0, 5.0]])
    assert coverage(draws, truth, np.array([[True, False]])) == 1
    assert coverage(draws, truth, np.array([[True, True]])) == 0.5
    assert np.isnan(coverage(draws, truth, np.zeros((1, 2), bool)))


def test_diversity_is_the_deviation_over_draws():
    draws = np.random.default_rng(0).normal(size=(10, 5000, 4)) * 0.3 + np.arange(10)[:, None, None]
    np.testing.assert_allclose(diversity(draws), 0.3, rtol=0.03)


def test_one_draw_is_no_distribution():
    with pytest.raises(ValueError, match="two or more draws"):
        energy_score(np.zeros((2, 1, 3)), np.zeros((2, 3)))
