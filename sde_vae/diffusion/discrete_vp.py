"""Variance-preserving SDE through the noise levels of a discrete schedule, as DDPM and its successors train on (arXiv:2006.11239).

The schedule has alpha-bar_k at the whole times k = 0, ..., N - 1. Between them logSNR is linear in t, which keeps it monotone, is exact at
the whole times, and has an exact inverse. t has the unit of the schedule's own steps: the network of a model trained on the schedule takes
t as it is. VP(0.1, 20) is close to the linear schedule and not equal to it: log alpha-bar differs by up to 0.068.
"""

import dataclasses
from collections.abc import Sequence
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sde_vae.diffusion.sdes import SDE
from sde_vae.types import Dtype, PerExample


@dataclasses.dataclass(frozen=True)
class DiscreteVP(SDE):
    """The SDE of a schedule, given by its logSNR at t = 0, 1, ..., T; see `discrete_vp`.

    >>> sde = DiscreteVP(log_snrs=(4.0, 0.0, -4.0), T=2.0)
    >>> sde.log_snr(jnp.array([0.0, 0.5, 2.0])).tolist(), sde.t_of_log_snr(jnp.array([-2.0])).tolist()
    ([4.00, 2.00, -4.00], [1.50])
    """

    log_snrs: tuple[float, ...] = dataclasses.field(repr=False)
    T: float
    t_min: float = 0.0

    def _at(self, t: PerExample) -> tuple[PerExample, PerExample, PerExample]:
        """(logSNR at the whole time before t, at the one after it, and how far t is between them)."""
        levels = _levels(self.log_snrs, jnp.result_type(t))
        before = jnp.clip(jnp.floor(t).astype(jnp.int32), 0, len(self.log_snrs) - 2)
        return levels[before], levels[before + 1], jnp.clip(t - before, 0.0, 1.0)

    def _rate(self, t: PerExample) -> PerExample:
        """-d logSNR / dt > 0, constant between whole times."""
        before, after, _ = self._at(t)
        return before - after

    def alpha(self, t: PerExample) -> PerExample:
        return jnp.exp(0.5 * jax.nn.log_sigmoid(self.log_snr(t)))

    def sigma(self, t: PerExample) -> PerExample:
        return jnp.exp(0.5 * jax.nn.log_sigmoid(-self.log_snr(t)))

    def f(self, t: PerExample) -> PerExample:
        # alpha^2 = sigmoid(l), so d log alpha = sigma^2 dl / 2.
        return -0.5 * jnp.square(self.sigma(t)) * self._rate(t)

    def g(self, t: PerExample) -> PerExample:
        return self.sigma(t) * jnp.sqrt(self._rate(t))

    def log_snr(self, t: PerExample) -> PerExample:
        before, after, share = self._at(t)
        # In this form both ends are exact.
        return (1 - share) * before + share * after

    def t_of_log_snr(self, log_snr: PerExample) -> PerExample:
        levels = _levels(self.log_snrs, jnp.result_type(log_snr))
        after = jnp.clip(jnp.searchsorted(-levels, -log_snr), 1, len(self.log_snrs) - 1)
        high, low = levels[after - 1], levels[after]
        return after - 1 + jnp.clip((high - log_snr) / (high - low), 0.0, 1.0)


@lru_cache(maxsize=32)
def _levels(log_snrs: tuple[float, ...], dtype: Dtype) -> Float[Array, "levels"]:
    """The logSNR of the whole times. One array for each schedule, so that a program holds it once."""
    with jax.ensure_compile_time_eval():
        return jnp.asarray(log_snrs, dtype)


def discrete_vp(alphas_cumprod: Sequence[float] | np.ndarray, t_min: float = 0.0) -> DiscreteVP:
    """Return the SDE of a schedule of alpha-bar_k, k = 0, 1, ...; a last one of 0 (zero terminal SNR) is left out: T is one less.

    `t_min` is above 0 for a network that cannot be evaluated at step 0. Raises ValueError unless alpha-bar falls strictly from below 1 to 0 or above it.

    >>> discrete_vp([0.9, 0.5, 0.1, 0.0]).T
    2.0
    """
    bars = np.asarray(alphas_cumprod, np.float64)
    bars = bars[:-1] if bars.ndim == 1 and bars.size and bars[-1] == 0 else bars
    if bars.ndim != 1 or bars.size < 2 or not np.all((bars > 0) & (bars < 1)) or not np.all(np.diff(bars) < 0):
        raise ValueError("alpha-bar does not fall strictly from below 1 to 0")
    log_snrs = np.log(bars) - np.log1p(-bars)
    return DiscreteVP(tuple(log_snrs.tolist()), float(bars.size - 1), t_min)
