"""A noise schedule between two others, for one that changes in the course of training (VS-CMDE, arXiv:2207.09786)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.diffusion.sdes import SDE, log_snr_rate
from sde_vae.types import PerExample

# Halvings of [0, T] by which a time is found: to the rounding of float32.
HALVINGS = 40


@dataclasses.dataclass(frozen=True)
class Between(SDE):
    """The SDE whose log alpha and logSNR are the means of two SDEs' with weights 1 - share and share, in [0, 1].

    Of two VE SDEs with one sigma_min it is the VE SDE whose sigma_max is their geometric mean. `share` may be traced.

    >>> from sde_vae.diffusion.sdes import VE
    >>> Between(VE(0.01, 100.0), VE(0.01, 1.0), 0.5).sigma(jnp.array([0.0, 1.0])).tolist()
    [0.01, 10.00]
    """

    first: SDE
    last: SDE
    share: float | Float[Array, ""]

    @property
    def t_min(self) -> float:
        return max(self.first.t_min, self.last.t_min)

    @property
    def T(self) -> float:
        return self.first.T

    def alpha(self, t: PerExample) -> PerExample:
        return jnp.exp(self._mean(jnp.log(self.first.alpha(t)), jnp.log(self.last.alpha(t))))

    def sigma(self, t: PerExample) -> PerExample:
        return self.alpha(t) * jnp.exp(-0.5 * self.log_snr(t))

    def f(self, t: PerExample) -> PerExample:
        return self._mean(self.first.f(t), self.last.f(t))

    def g(self, t: PerExample) -> PerExample:
        return self.sigma(t) * jnp.sqrt(self._mean(log_snr_rate(self.first, t), log_snr_rate(self.last, t)))

    def log_snr(self, t: PerExample) -> PerExample:
        return self._mean(self.first.log_snr(t), self.last.log_snr(t))

    def t_of_log_snr(self, log_snr: PerExample) -> PerExample:
        def halve(_: Any, ends: tuple[PerExample, PerExample]) -> tuple[PerExample, PerExample]:
            low, high = ends
            middle = 0.5 * (low + high)
            later = self.log_snr(middle) > log_snr
            return jnp.where(later, middle, low), jnp.where(later, high, middle)

        ends = jnp.zeros_like(log_snr), jnp.full_like(log_snr, self.T)
        low, high = jax.lax.fori_loop(0, HALVINGS, halve, ends)
        return 0.5 * (low + high)

    def _mean(self, first: PerExample, last: PerExample) -> PerExample:
        return (1 - self.share) * first + self.share * last
