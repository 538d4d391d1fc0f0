"""Estimates of each image from several draws."""

import jax
import numpy as np
import pytest

from sde_vae.inference.monte_carlo import mean_of_draws

N, DRAWS = 5, 3
# No divisor of N DRAWS: the last batch is filled up.
BATCH_SIZE = 4


def test_an_image_has_the_mean_of_its_own_draws():
    x, z = np.arange(N, dtype=np.float32)[:, None], 100 * np.arange(N, dtype=np.float32)
    one_draw = lambda x, z, index: 10.0 * x[:, 0] + z
    found = mean_of_draws("draws", (x, z), DRAWS, one_draw, BATCH_SIZE)
    np.testing.assert_allclose(found, 110 * np.arange(N))


@pytest.mark.parametrize("n", [N, 2])
def test_all_draws_of_all_images_fill_each_stratum_once_and_those_of_one_image_lie_apart(n):
    # Every stratum as a column, which one draw of one image sets.
    strata = n * DRAWS
    one_draw = lambda x, index: jax.nn.one_hot(index, strata)
    found = mean_of_draws("draws", (np.zeros((n, 1), np.float32),), DRAWS, one_draw, BATCH_SIZE)
    assert (found.shape, found.dtype) == ((n, strata), np.float64)
    np.testing.assert_allclose(DRAWS * found.sum(axis=0), 1)
    for of_image in found:
        np.testing.assert_array_equal(np.diff(np.flatnonzero(of_image)), n)
