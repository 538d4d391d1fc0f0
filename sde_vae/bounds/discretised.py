"""Whole probabilities of pixels: a Gaussian's mass on the data's steps, so that a VAE's bound is told in the same bits."""

import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from sde_vae.arrays import sum_per_example
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.types import PerExample, Points


def discretised(p: DiagGaussian, levels: int, x_0: Points) -> PerExample:
    """-log P(x_0) in nats for data on `levels` equal steps of [-1, 1], P the mass of p around each; shape [batch].

    The outermost steps take all that lies beyond them, so that the masses of the levels sum to one (DDPM, arXiv:2006.11239,
    eq. 13).
    """
    std, half = jnp.exp(0.5 * p.log_var), 1 / (levels - 1)
    low, high = (x_0 - half - p.mean) / std, (x_0 + half - p.mean) / std
    low, high = jnp.where(x_0 - half < -1, -jnp.inf, low), jnp.where(x_0 + half > 1, jnp.inf, high)
    # Above the mean the mirror image: there both tails are near one and their difference is all cancellation.
    above = low > 0
    low, high = jnp.where(above, -high, low), jnp.where(above, -low, high)
    return -sum_per_example(log_mass(low, high))


def log_mass(low: Float[Array, "*shape"], high: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log of the standard normal's mass on [low, high], low <= 0 < high or both below it."""
    below, up_to = norm.logcdf(low), norm.logcdf(high)
    return up_to + jnp.log(-jnp.expm1(below - up_to))
