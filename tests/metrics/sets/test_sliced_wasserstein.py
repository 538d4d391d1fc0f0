"""The sliced Wasserstein distance against closed forms, and against the transport plan by linear programming."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import ndtri

from sde_vae.metrics.sets.sliced_wasserstein import random_directions, sliced_wasserstein, w2_squared

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("n", "m"), [(4, 4), (3, 5), (6, 2), (1, 7)])
def test_on_a_line_it_is_the_cost_of_the_best_plan(n, m):
    x, y = RNG.normal(size=(n, 1)), RNG.normal(size=(m, 1)) + 1
    cost = np.square(x - y.T).ravel()
    marginals = [np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))]
    plan = linprog(cost, A_eq=np.concatenate(marginals), b_eq=[1 / n] * n + [1 / m] * m)
    assert w2_squared(x, y)[0] == pytest.approx(plan.fun, rel=1e-9)


def test_of_gaussians_it_is_the_closed_form():
    """W2^2 of N(m, C) and N(0, I) on the line u is <u, m>^2 + (sqrt(u' C u) - 1)^2; the sets are exact quantiles on each line."""
    directions = random_directions(RNG, 50, 3)
    m, C = np.array([1.0, -2.0, 0.5]), np.diag([4.0, 0.25, 1.0])
    expected = np.square(directions @ m) + np.square(np.sqrt(np.einsum("ki,ij,kj->k", directions, C, directions)) - 1)
    n = 20_000
    quantiles = ndtri((np.arange(n) + 0.5) / n)[:, None]
    std = np.sqrt(np.einsum("ki,ij,kj->k", directions, C, directions))[None]
    np.testing.assert_allclose(
        w2_squared(quantiles * std + (directions @ m)[None], np.tile(quantiles, 50)), expected, rtol=1e-3, atol=1e-3
    )
    # And of samples, up to their noise, which is 1 / sqrt(n) in each moment.
    x, y = RNG.normal(size=(n, 3)) * np.sqrt(np.diag(C)) + m, RNG.normal(size=(n, 3))
    assert sliced_wasserstein(x, y, directions).value == pytest.approx(np.sqrt(expected.mean()), rel=0.02)


def test_over_all_directions_a_shift_costs_its_length_over_sqrt_d():
    x, shift = RNG.normal(size=(200, 4)), np.array([3.0, 0.0, 4.0, 0.0])
    found = sliced_wasserstein(x, x + shift, random_directions(RNG, 20_000, 4))
    assert found.value == pytest.approx(5 / 2, abs=4 * found.standard_error)
    assert 0 < found.standard_error < 0.02


def test_it_is_a_distance_of_sets():
    x, y, directions = RNG.normal(size=(30, 5)), RNG.normal(size=(20, 5)) + 1, random_directions(RNG, 100, 5)
    distance = lambda x, y: sliced_wasserstein(x, y, directions).value
    assert distance(x, x[RNG.permutation(30)]) == 0
    assert distance(x, np.concatenate([x, x])) == pytest.approx(0, abs=1e-12)
    assert distance(x[::-1], y) == pytest.approx(distance(y, x), rel=1e-12)
    assert distance(3 * x, 3 * y) == pytest.approx(3 * distance(x, y), rel=1e-12)
    z = RNG.normal(size=(25, 5)) - 1
    assert distance(x, z) <= distance(x, y) + distance(y, z)


def test_the_directions_are_uniform_on_the_sphere():
    directions = random_directions(RNG, 20_000, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-12)
    # E u = 0 with variance 1/3 each, E u u' = I / 3: five standard errors.
    assert np.abs(directions.mean(axis=0)).max() < 5 * np.sqrt(1 / 3 / 20_000)
    assert np.abs(directions.T @ directions / 20_000 - np.eye(3) / 3).max() < 5 * 0.3 / np.sqrt(20_000)
