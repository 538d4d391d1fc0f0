"""The kernel distance against brute force and closed forms."""

import itertools

import numpy as np
import pytest

from sde_vae.errors import BadInput
from sde_vae.metrics.sets import kid

RNG = np.random.default_rng


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
