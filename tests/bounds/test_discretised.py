"""A Gaussian's mass on the steps of the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from sde_vae.bounds.discretised import discretised
from sde_vae.diffusion.gaussians import DiagGaussian

LEVELS = 17


def every_level(mean, std, levels=LEVELS):
    """P of each level under one pixel's N(mean, std^2): [levels]."""
    x = jnp.linspace(-1, 1, levels)[:, None]
    p = DiagGaussian(jnp.full_like(x, mean), jnp.full_like(x, 2 * np.log(std)))
    return np.exp(-np.asarray(discretised(p, levels, x)))


@pytest.mark.parametrize("mean", [-3.0, -1.0, 0.03, 0.7, 1.0, 2.5])
@pytest.mark.parametrize("std", [0.05, 0.4, 3.0])
def test_the_masses_are_scipys_and_sum_to_one(mean, std, x64):
    edges = np.concatenate([[-np.inf], (np.arange(LEVELS - 1) + 0.5) * 2 / (LEVELS - 1) - 1, [np.inf]])
    # The tail that keeps its digits: the upper one above the mean.
    of = stats.norm(mean, std)
    exact = np.where(edges[:-1] > mean, of.sf(edges[:-1]) - of.sf(edges[1:]), of.cdf(edges[1:]) - of.cdf(edges[:-1]))
    found = every_level(mean, std)
    # Beyond 20 deviations the logarithm of the tail is a series of order 3, whose next term is 105 / 20^8.
    np.testing.assert_allclose(found, exact, rtol=105 / 20**8, atol=1e-300)
    np.testing.assert_allclose(found.sum(), 1.0, rtol=1e-12)


def test_fine_steps_have_the_densitys_mass(x64):
    x, levels = jnp.linspace(-1, 1, 256)[100:101, None], 256
    p = DiagGaussian(jnp.full((1, 1), 0.1), jnp.full((1, 1), 2 * np.log(0.5)))
    density = p.log_prob(x) + np.log(2 / (levels - 1))
    # The midpoint rule: its error is step^2 / 24 times the second derivative.
    np.testing.assert_allclose(-discretised(p, levels, x), density, atol=(2 / 255) ** 2 / 24 * 4 * 2)


def test_far_tails_are_finite_in_float32_with_a_finite_gradient():
    x = jnp.linspace(-1, 1, LEVELS)[:, None]
    p = DiagGaussian(jnp.full_like(x, 0.9), jnp.full_like(x, -8.0))
    nats = discretised(p, LEVELS, x)
    gradient = jax.grad(lambda mean: jnp.sum(discretised(p._replace(mean=mean), LEVELS, x)))(p.mean)
    assert np.all(np.isfinite(nats))
    assert np.all(np.isfinite(gradient))


def test_dimensions_add_up():
    p = DiagGaussian(jnp.zeros((3, 4, 4, 2)), jnp.zeros((3, 4, 4, 2)))
    x = jnp.linspace(-1, 1, LEVELS)[jnp.zeros((3, 4, 4, 2), jnp.int32)]
    np.testing.assert_allclose(discretised(p, LEVELS, x), -32 * np.log(every_level(0.0, 1.0)[0]), rtol=1e-5)
