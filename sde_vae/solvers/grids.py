"""Times at which a solver stops: T = t_0 > ... > t_steps = t_min."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.diffusion.sdes import SDE, log_snr_range

Grid = Float[Array, "steps_plus_1"]
MakeGrid = Callable[[SDE, int], Grid]


def uniform_t(sde: SDE, steps: int) -> Grid:
    """Equal in t."""
    return jnp.linspace(sde.T, sde.t_min, steps + 1)


def uniform_log_snr(sde: SDE, steps: int) -> Grid:
    """Equal in logSNR."""
    low, high = log_snr_range(sde)
    return _between(sde, jnp.linspace(low, high, steps + 1))


def edm(sde: SDE, steps: int, rho: float = 7.0) -> Grid:
    """Equal in (sigma / alpha)^(1 / rho) (EDM, arXiv:2206.00364, eq. 5): the larger rho, the denser at low noise.

    rho = 1 is equal in sigma / alpha; as rho grows the grid tends to that equal in logSNR.
    """
    low, high = log_snr_range(sde)
    # sigma / alpha = e^{-l / 2}
    root = jnp.linspace(jnp.exp(-0.5 * low / rho), jnp.exp(-0.5 * high / rho), steps + 1)
    return _between(sde, -2 * rho * jnp.log(root))


def _between(sde: SDE, log_snr: Grid) -> Grid:
    """The times of these logSNR, with ends that are exact."""
    return sde.t_of_log_snr(log_snr).at[0].set(sde.T).at[-1].set(sde.t_min)
