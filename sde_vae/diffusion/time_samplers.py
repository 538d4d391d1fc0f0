"""Time samplers: the times at which the denoising loss is evaluated.

With each time, a time sampler returns the factor dl / dp that keeps the estimate of the integral over logSNR unbiased. It
determines the variance of the estimate. What is learnt is determined by the weight (`sde_vae.diffusion.weights`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sde_vae.diffusion.sdes import SDE, log_snr_range, log_snr_rate
from sde_vae.types import Indices, PerExample, PRNGKey, Strata

# TimeSampler(key, index) -> (t, dl / dp): a time per example, and the length of logSNR that one draw represents; both [batch].
TimeSampler = Callable[[PRNGKey, Indices], tuple[PerExample, PerExample]]


def stratified(key: PRNGKey, index: Indices, strata: Strata) -> PerExample:
    """Return low-discrepancy uniforms on [0, 1): one shared draw, shifted by index / strata. [batch].

    Each value is uniform. Among `strata` consecutive examples, each of the `strata` equal cells holds one value (VDM,
    arXiv:2107.00630, appendix I.1).

    >>> u = stratified(jax.random.key(0), jnp.arange(4), strata=4)
    >>> sorted((u * 4).astype(int).tolist())
    [0, 1, 2, 3]
    """
    return jnp.mod(jax.random.uniform(key) + (index % strata) / strata, 1.0)


def times_uniform_in_t(sde: SDE, strata: Strata) -> TimeSampler:
    """Return the time sampler that is uniform in t on [t_min, T], stratified over `strata` examples.

    >>> from sde_vae.diffusion.sdes import VP
    >>> t, dl_dp = times_uniform_in_t(VP(), strata=4)(jax.random.key(0), jnp.arange(4))
    >>> t.shape, dl_dp.shape
    ((4,), (4,))
    """

    def sample(key: PRNGKey, index: Indices) -> tuple[PerExample, PerExample]:
        t = sde.t_min + (sde.T - sde.t_min) * stratified(key, index, strata)
        return t, (sde.T - sde.t_min) * log_snr_rate(sde, t)

    return sample


def times_uniform_in_log_snr(sde: SDE, strata: Strata) -> TimeSampler:
    """Return the time sampler that is uniform in logSNR, stratified over `strata` examples.

    With the likelihood weight, the weighting then adds no variance to the estimate: dl / dp is the range of logSNR.

    >>> from sde_vae.diffusion.sdes import VP
    >>> t, dl_dp = times_uniform_in_log_snr(VP(), strata=2)(jax.random.key(0), jnp.arange(2))
    >>> dl_dp.tolist()
    [19.17, 19.17]
    """
    low, high = log_snr_range(sde)

    def sample(key: PRNGKey, index: Indices) -> tuple[PerExample, PerExample]:
        t = sde.t_of_log_snr(low + (high - low) * stratified(key, index, strata))
        # Rounding may overshoot the ends by an ulp.
        return jnp.clip(t, sde.t_min, sde.T), jnp.full_like(t, high - low)

    return sample
