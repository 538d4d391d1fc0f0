"""Estimates of each image from several draws."""

import jax
import numpy as np
import pytest

from sde_vae.evaluators.context import EvalContext, EvalData
from sde_vae.inference.monte_carlo import mean_of_draws

N, DRAWS = 5, 3


@pytest.fixture
def context():
    x = np.arange(N, dtype=np.float32)[:, None]
    held = EvalData("numbers", "f" * 64, 256, train=x, held_out=x, test=x)
    # No divisor of N DRAWS: the last batch is filled up.
    return EvalContext(**dict.fromkeys(EvalContext._fields))._replace(data=held, batch_size=4)


def test_an_image_has_the_mean_of_its_own_draws(context):
    found = mean_of_draws("draws", context, N, DRAWS, lambda batch: 10.0 * batch.x[:, 0])
    np.testing.assert_allclose(found, 10 * np.arange(N))


@pytest.mark.parametrize("n", [N, 2])
def test_all_draws_of_all_images_fill_each_stratum_once_and_those_of_one_image_lie_apart(context, n):
    # Every stratum as a column, which one draw of one image sets.
    strata = n * DRAWS
    found = mean_of_draws("draws", context, n, DRAWS, lambda batch: jax.nn.one_hot(batch.index, strata))
    assert (found.shape, found.dtype) == ((n, strata), np.float64)
    np.testing.assert_allclose(DRAWS * found.sum(axis=0), 1)
    for of_image in found:
        np.testing.assert_array_equal(np.diff(np.flatnonzero(of_image)), n)
