"""Grids: the times t_0 > ... > t_steps between which a solver steps, from T to t_min.

`leading`, `linspace` and `trailing` are of a discrete schedule, whose own steps are the whole times 0 to T (arXiv:2305.08891, table 2). With
the final denoising, they evaluate the score where a sampler of that schedule does in steps + 1 steps. `leading` begins before T, and
`trailing` ends after t_min.
"""

import jax.numpy as jnp
import numpy as np
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


def leading(sde: SDE, steps: int) -> Grid:
    """Return the whole times ..., 2 r, r, 0 with r = (T + 1) // (steps + 1): [steps + 1]. Raises ValueError if there are too few.

    >>> from sde_vae.diffusion.discrete_vp import DiscreteVP
    >>> sde = DiscreteVP(log_snrs=tuple(map(float, range(9, -1, -1))), T=9.0)
    >>> leading(sde, steps=2).tolist(), linspace(sde, steps=2).tolist(), trailing(sde, steps=2).tolist()
    ([6.0, 3.0, 0.0], [9.0, 4.0, 0.0], [9.0, 6.0, 2.0])
    """
    return _whole(np.arange(steps, -1, -1) * (_own_steps(sde, steps) // (steps + 1)), sde)


def linspace(sde: SDE, steps: int) -> Grid:
    """Return the whole times nearest to even spacing from T to 0: [steps + 1]. Raises ValueError if there are too few."""
    return _whole(np.linspace(0, _own_steps(sde, steps) - 1, steps + 1).round()[::-1], sde)


def trailing(sde: SDE, steps: int) -> Grid:
    """Return the whole times T, T - r, T - 2 r, ... with r = (T + 1) / (steps + 1), rounded: [steps + 1]. Raises ValueError if too few."""
    n = _own_steps(sde, steps)
    return _whole(np.round(n - np.arange(steps + 1) * (n / (steps + 1))) - 1, sde)


def _own_steps(sde: SDE, steps: int) -> int:
    """Return the number of whole times from 0 to T, those of a discrete schedule."""
    n = int(sde.T) + 1
    if int(sde.T) != sde.T or steps + 1 > n:
        raise ValueError(f"a schedule of {n} whole times, expected at least {steps + 1} for {steps} steps")
    return n


def _whole(times: np.ndarray, sde: SDE) -> Grid:
    """Return whole times as a grid. One below t_min, which has no score, becomes t_min."""
    return jnp.asarray(np.maximum(times, sde.t_min), jnp.float32)


def _between(sde: SDE, log_snr: Grid) -> Grid:
    """Return the times of these logSNR; the ends are exactly T and t_min."""
    return sde.t_of_log_snr(log_snr).at[0].set(sde.T).at[-1].set(sde.t_min)
