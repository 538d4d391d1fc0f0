"""The discretised Gaussian: the probability of pixel values, so that a VAE's bound has the same bits per dimension."""

import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from sde_vae.arrays import sum_per_example
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.types import PerExample, Points


def discretised(p: DiagGaussian, levels: int, x_0: Points) -> PerExample:
    """Return -log P(x_0) in nats for data on `levels` equal steps of [-1, 1]: [batch].

    P is the mass of p around a level. The lowest and highest levels include all mass beyond them, so that the masses sum to
    one (DDPM, arXiv:2006.11239, eq. 13).

    >>> p = DiagGaussian(mean=jnp.zeros((1, 1)), log_var=jnp.zeros((1, 1)))
    >>> discretised(p, levels=2, x_0=jnp.ones((1, 1))).round(3)
    Array([0.693], dtype=float32)
    """
    std, half = jnp.exp(0.5 * p.log_var), 1 / (levels - 1)
    low, high = (x_0 - half - p.mean) / std, (x_0 + half - p.mean) / std
    low, high = jnp.where(x_0 - half < -1, -jnp.inf, low), jnp.where(x_0 + half > 1, jnp.inf, high)
    # Above the mean, the mirror image: there both tails are near one, and their difference loses all digits.
    above = low > 0
    low, high = jnp.where(above, -high, low), jnp.where(above, -low, high)
    return -sum_per_example(log_mass(low, high))


def log_mass(low: Float[Array, "*shape"], high: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the log of the standard normal's mass on [low, high], for low <= 0.

    >>> log_mass(jnp.array([-jnp.inf]), jnp.array([0.0])).round(3)
    Array([-0.693], dtype=float32)
    """
    below, up_to = norm.logcdf(low), norm.logcdf(high)
    return up_to + jnp.log(-jnp.expm1(below - up_to))
