"""The evidence bound, term by term, in nats per example.

    -log p(x_0) <= KL(q(z|x_0) || N(0, I))               DiagGaussian.kl_to_standard        (0 without a latent)
                 + KL(p(x_T|x_0) || pi)                  prior_kl
                 + 1/2 int E||eps_hat - eps||^2 dl       diffusion                          over log_snr(T) .. log_snr(t_min)
                 + E[-log p(x_0 | x_eps)]                reconstruction                     eps = t_min

It holds for any conditional score (VDM, arXiv:2107.00630, eq. 11; Song et al. 2021, arXiv:2101.09258). The model it bounds is
p(z) p(x|z): its marginal in x is not the pre-trained prior. With beta != 1 or another weight the sum is a loss, not a bound:
`evidence_bound` refuses it.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import expand, keys_of, normal, sum_per_example
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.losses import denoising
from sde_vae.diffusion.sdes import SDE, diffuse, log_snr_range
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
from sde_vae.diffusion.weights import Weight, likelihood_weighting
from sde_vae.errors import BadInput
from sde_vae.types import Batch, PerExample, Points, PRNGKey, ScoreFn, Strata

# The one weight under which the diffusion term belongs to a bound.
LIKELIHOOD = likelihood_weighting()
# At so many logSNR is a weight compared with 1.
LOOKED_AT = 1025


class Terms(NamedTuple):
    """The bound's terms, in nats per example."""

    kl: PerExample
    prior: PerExample
    diffusion: PerExample
    reconstruction: PerExample

    @property
    def total(self) -> PerExample:
        """An estimate of an upper bound of -log p(x_0)."""
        return self.kl + self.prior + self.diffusion + self.reconstruction


def evidence_bound(
    sde: SDE,
    q: DiagGaussian | None,
    score: ScoreFn,
    levels: int,
    strata: Strata,
    key: PRNGKey,
    batch: Batch,
    beta: float = 1.0,
    weight: Weight = LIKELIHOOD,
) -> Terms:
    """One draw of every term. q is q(z|x_0), and z ~ q is closed over by the score; without a latent q is None.

    Raises BadInput, a ValueError, where it would not be a bound: beta != 1, or a weight that is not 1 on the SDE's range of logSNR.
    Both must be known when the function is traced.
    """
    _refuse_a_loss(sde, beta, weight)
    key_diffusion, key_reconstruction = jax.random.split(key)
    return Terms(
        kl=jnp.zeros(batch.x.shape[:1], batch.x.dtype) if q is None else q.kl_to_standard(),
        prior=prior_kl(sde, batch.x),
        diffusion=diffusion(sde, score, key_diffusion, batch, strata),
        reconstruction=reconstruction(sde, levels, key_reconstruction, batch),
    )


def prior_kl(sde: SDE, x_0: Points) -> PerExample:
    """KL(N(alpha_T x_0, sigma_T^2) || pi) with pi = N(0, sigma_T^2 I), as `sdes.terminal` draws it."""
    T = jnp.full(x_0.shape[:1], sde.T, x_0.dtype)
    return 0.5 * jnp.exp(sde.log_snr(T)) * sum_per_example(jnp.square(x_0))


def diffusion(sde: SDE, score: ScoreFn, key: PRNGKey, batch: Batch, strata: Strata) -> PerExample:
    """One-sample estimate of the diffusion term, times uniform in logSNR and stratified over `strata` examples."""
    return denoising(sde, score, times_uniform_in_log_snr(sde, strata), LIKELIHOOD, key, batch)


def reconstruction(sde: SDE, levels: int, key: PRNGKey, batch: Batch) -> PerExample:
    """One draw of -log p(x_0 | x_eps), x_eps ~ q(x_eps | x_0)."""
    return reconstruction_at(sde, levels, batch.x, noised(sde, key, batch))


def noised(sde: SDE, key: PRNGKey, batch: Batch) -> Points:
    """x_eps ~ q(x_eps | x_0), the noisy image at t_min."""
    t = jnp.full(batch.x.shape[:1], sde.t_min, batch.x.dtype)
    return diffuse(sde, batch.x, t, normal(keys_of(key, batch.index), batch.x))


def reconstruction_at(sde: SDE, levels: int, x_0: Points, x_eps: Points) -> PerExample:
    """-log p(x_0 | x_eps) for data on `levels` equal steps of [-1, 1]; p(x_0 | x_eps) ~ p(x_eps | x_0), per pixel.

    VDM's discretised decoder (arXiv:2107.00630, eq. 8). Not small for 8-bit data unless log_snr(t_min) is above 12 or so.
    """
    t = jnp.full(x_0.shape[:1], sde.t_min, x_0.dtype)
    value = jnp.linspace(-1.0, 1.0, levels, dtype=x_0.dtype)
    alpha, sigma = expand(sde.alpha(t), x_0), expand(sde.sigma(t), x_0)

    def log_density(v: Points) -> Points:
        return -0.5 * jnp.square((x_eps - alpha * v) / sigma)

    # One level at a time: images x levels would not fit in memory at 256 levels.
    normaliser = jax.lax.fori_loop(
        0,
        levels,
        lambda i, total: jnp.logaddexp(total, log_density(jnp.full_like(x_0, value[i]))),
        jnp.full_like(x_0, -jnp.inf),
    )
    return sum_per_example(normaliser - log_density(x_0))


def bits_per_dim(nats: PerExample, x: Points) -> PerExample:
    """Nats per example -> bits per dimension of x."""
    return nats / (math.log(2) * math.prod(x.shape[1:]))


def _refuse_a_loss(sde: SDE, beta: float, weight: Weight) -> None:
    if beta != 1:
        raise BadInput(f"beta: got {beta}; a bound needs beta = 1: with another it is a loss, not to be called a bound")
    # By value and outside any trace: what makes a weight a bound's is what it is, not what it is called.
    with jax.ensure_compile_time_eval():
        log_snr = jnp.linspace(*log_snr_range(sde), LOOKED_AT)
        log_snr, w = np.asarray(log_snr), np.asarray(weight(log_snr))
    off = np.where(np.isnan(w), np.inf, np.abs(w - 1))
    worst = off.argmax()
    # A few ulp of rounding are not another weight.
    if off[worst] > 16 * np.finfo(w.dtype).eps:
        raise BadInput(
            f"weight: got w = {w[worst]:.4g} at logSNR {log_snr[worst]:.4g}; a bound needs w = 1 at every logSNR: "
            "with another weight it is a loss, not to be called a bound"
        )
