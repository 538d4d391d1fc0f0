"""Times at which the denoising loss is evaluated.

A time sampler returns, with each time, the factor dl / dp that keeps the estimate of the integral over logSNR unbiased. So it decides
the variance of the estimate only, never what is learnt: that is the weight's part (`sde_vae.diffusion.weights`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sde_vae.diffusion.sdes import SDE, log_snr_range, log_snr_rate
from sde_vae.types import Indices, PerExample, PRNGKey, Strata

# TimeSampler(key, index) -> (t, dl/dp): a time per example, and the length of logSNR that one draw stands for.
TimeSampler = Callable[[PRNGKey, Indices], tuple[PerExample, PerExample]]


def stratified(key: PRNGKey, index: Indices, strata: Strata) -> PerExample:
    """Low-discrepancy uniforms (VDM, arXiv:2107.00630, appendix I.1): one shared draw, shifted by index / strata.

    Each is uniform on [0, 1); `strata` of them in a row fall one into each of the `strata` equal cells.
    """
    return jnp.mod(jax.random.uniform(key) + (index % strata) / strata, 1.0)


def times_uniform_in_t(sde: SDE, strata: Strata) -> TimeSampler:
    """Times uniform in [t_min, T]."""

    def sample(key: PRNGKey, index: Indices) -> tuple[PerExample, PerExample]:
        t = sde.t_min + (sde.T - sde.t_min) * stratified(key, index, strata)
        return t, (sde.T - sde.t_min) * log_snr_rate(sde, t)

    return sample


def times_uniform_in_log_snr(sde: SDE, strata: Strata) -> TimeSampler:
    """Times uniform in logSNR: under the likelihood weight, the estimate with no variance from the weighting."""
    low, high = log_snr_range(sde)

    def sample(key: PRNGKey, index: Indices) -> tuple[PerExample, PerExample]:
        t = sde.t_of_log_snr(low + (high - low) * stratified(key, index, strata))
        # Rounding may step over the ends by an ulp.
        return jnp.clip(t, sde.t_min, sde.T), jnp.full_like(t, high - low)

    return sample
