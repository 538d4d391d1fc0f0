"""The evidence bound, term by term, in nats per example.

    -log p(x_0) <= KL(q(z|x_0) || N(0, I))               DiagGaussian.kl_to_standard        (0 without a latent)
                 + KL(p(x_T|x_0) || pi)                  prior_kl
                 + 1/2 int E||eps_hat - eps||^2 dl       diffusion                          over log_snr(T) .. log_snr(t_min)
                 + E[-log p(x_0 | x_eps)]                reconstruction                     eps = t_min

It holds for any conditional score (VDM, arXiv:2107.00630, eq. 11; Song et al. 2021, arXiv:2101.09258). The model it bounds is
p(z) p(x|z): its marginal in x is not the pre-trained prior. With beta != 1 or another weight the sum is a loss, not a bound.
"""

import math

import jax
import jax.numpy as jnp

from sde_vae.arrays import expand, keys_of, normal, sum_per_example
from sde_vae.losses import denoising, likelihood, uniform_log_snr
from sde_vae.sdes import SDE, diffuse
from sde_vae.types import Batch, PerExample, Points, PRNGKey, ScoreFn


def prior_kl(sde: SDE, x_0: Points) -> PerExample:
    """KL(N(alpha_T x_0, sigma_T^2) || pi) with pi = N(0, sigma_T^2 I), as `sdes.terminal` draws it."""
    T = jnp.full(x_0.shape[:1], sde.T, x_0.dtype)
    return 0.5 * jnp.exp(sde.log_snr(T)) * sum_per_example(jnp.square(x_0))


def diffusion(sde: SDE, score: ScoreFn, key: PRNGKey, batch: Batch, strata: int) -> PerExample:
    """One-sample estimate of the diffusion term, times uniform in logSNR and stratified over `strata` examples."""
    return denoising(sde, score, uniform_log_snr(sde, strata), likelihood(), key, batch)


def reconstruction(sde: SDE, levels: int, key: PRNGKey, batch: Batch) -> PerExample:
    """-log p(x_0 | x_eps) for data on `levels` equal steps of [-1, 1]; p(x_0 | x_eps) ~ p(x_eps | x_0), per pixel.

    VDM's discretised decoder (arXiv:2107.00630, eq. 8). Not small for 8-bit data unless log_snr(t_min) is above 12 or so.
    """
    t = jnp.full(batch.x.shape[:1], sde.t_min, batch.x.dtype)
    x_eps = diffuse(sde, batch.x, t, normal(keys_of(key, batch.index), batch.x))
    value = jnp.linspace(-1.0, 1.0, levels, dtype=batch.x.dtype)
    alpha, sigma = expand(sde.alpha(t), batch.x), expand(sde.sigma(t), batch.x)

    def log_density(v: Points) -> Points:
        return -0.5 * jnp.square((x_eps - alpha * v) / sigma)

    # One level at a time: images x levels would not fit in memory at 256 levels.
    normaliser = jax.lax.fori_loop(
        0,
        levels,
        lambda i, total: jnp.logaddexp(total, log_density(jnp.full_like(batch.x, value[i]))),
        jnp.full_like(batch.x, -jnp.inf),
    )
    return sum_per_example(normaliser - log_density(batch.x))


def bits_per_dim(nats: PerExample, x: Points) -> PerExample:
    """Nats per example -> bits per dimension of x."""
    return nats / (math.log(2) * math.prod(x.shape[1:]))
