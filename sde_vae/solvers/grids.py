"""Grids: the times T = t_0 > ... > t_steps = t_min between which a solver steps."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.diffusion.sdes import SDE, log_snr_range

Grid = Float[Array, "steps_plus_1"]


def uniform_t(sde: SDE, steps: int) -> Grid:
    """Return a grid with equal steps in t: [steps + 1].

    >>> from sde_vae.diffusion.sdes import VP
    >>> uniform_t(VP(t_min=0.2), steps=4).tolist()
    [1.00, 0.80, 0.60, 0.40, 0.20]
    """
    return jnp.linspace(sde.T, sde.t_min, steps + 1)


def uniform_log_snr(sde: SDE, steps: int) -> Grid:
    """Return a grid with equal steps in logSNR: [steps + 1].

    >>> from sde_vae.diffusion.sdes import VE
    >>> uniform_log_snr(VE(t_min=0.2), steps=4).tolist()
    [1.00, 0.80, 0.60, 0.40, 0.20]
    """
    low, high = log_snr_range(sde)
    return _between(sde, jnp.linspace(low, high, steps + 1))


def edm(sde: SDE, steps: int, rho: float = 7.0) -> Grid:
    """Return a grid with equal steps in (sigma / alpha)^(1 / rho): [steps + 1] (EDM, arXiv:2206.00364, eq. 5).

    The larger rho is, the denser is the grid at low noise. rho = 1 has equal steps in sigma / alpha. With growing rho the grid
    tends to `uniform_log_snr`.

    >>> from sde_vae.diffusion.sdes import VE
    >>> sde = VE(sigma_min=1.0, sigma_max=9.0, t_min=0.0)
    >>> sde.sigma(edm(sde, steps=4, rho=1.0)).tolist()
    [9.00, 7.00, 5.00, 3.00, 1.00]
    """
    low, high = log_snr_range(sde)
    # sigma / alpha = e^{-l / 2}
    root = jnp.linspace(jnp.exp(-0.5 * low / rho), jnp.exp(-0.5 * high / rho), steps + 1)
    return _between(sde, -2 * rho * jnp.log(root))


def _between(sde: SDE, log_snr: Grid) -> Grid:
    """Return the times of these logSNR; the ends are exactly T and t_min."""
    return sde.t_of_log_snr(log_snr).at[0].set(sde.T).at[-1].set(sde.t_min)
