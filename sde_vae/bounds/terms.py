"""The evidence bound, term by term, in nats per example.

    -log p(x_0) <= KL(q(z|x_0) || N(0, I))               DiagGaussian.kl_to_standard        (0 without a latent)
                 + KL(p(x_T|x_0) || pi)                  prior_kl
                 + 1/2 int E||eps_hat - eps||^2 dl       diffusion                          over log_snr(T) .. log_snr(t_min)
                 + E[-log p(x_0 | x_eps)]                reconstruction                     eps = t_min

The bound holds for any conditional score (VDM, arXiv:2107.00630, eq. 11; Song et al. 2021, arXiv:2101.09258). The model that it
bounds is p(z) p(x|z). The marginal of this model in x is not the pre-trained prior. With beta != 1, or with a weight other than
1, the sum would be a loss and not a bound. The bound has therefore neither parameter, whatever the model was trained with.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sde_vae.arrays import expand, keys_of, normal, sum_per_example
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.losses import denoising
from sde_vae.diffusion.sdes import SDE, diffuse
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
from sde_vae.diffusion.weights import likelihood_weighting
from sde_vae.types import Batch, PerExample, Points, PRNGKey, ScoreFn, Strata


class Terms(NamedTuple):
    """The terms of the bound, in nats per example: [batch] each."""

    kl: PerExample
    prior: PerExample
    diffusion: PerExample
    reconstruction: PerExample

    @property
    def total(self) -> PerExample:
        """Return an estimate of an upper bound of -log p(x_0) in nats: [batch]."""
        return self.kl + self.prior + self.diffusion + self.reconstruction


def evidence_bound(
    sde: SDE,
    q: DiagGaussian | None,
    score: ScoreFn,
    levels: int,
    strata: Strata,
    key: PRNGKey,
    batch: Batch,
) -> Terms:
    """Return one draw of every term, for data on `levels` equal steps of [-1, 1].

    q is q(z | x_0), and the score closes over z ~ q. Without a latent q is None. The times of the diffusion term are stratified
    over `strata` examples.

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.types import Batch
    >>> batch = Batch(jnp.zeros((4, 2)), jnp.arange(4))
    >>> bound = evidence_bound(VP(), None, lambda x, t: -x, 3, 4, jax.random.key(0), batch)
    >>> bound.total.shape, bound.kl
    ((4,), Array([0., 0., 0., 0.], dtype=float32))
    """
    key_diffusion, key_reconstruction = jax.random.split(key)
    return Terms(
        kl=jnp.zeros(batch.x.shape[:1], batch.x.dtype) if q is None else q.kl_to_standard(),
        prior=prior_kl(sde, batch.x),
        diffusion=diffusion(sde, score, key_diffusion, batch, strata),
        reconstruction=reconstruction(sde, levels, key_reconstruction, batch),
    )


def prior_kl(sde: SDE, x_0: Points) -> PerExample:
    """Return KL(N(alpha_T x_0, sigma_T^2 I) || pi) in nats, with pi = N(0, sigma_T^2 I) as in `sdes.terminal`: [batch].

    >>> from sde_vae.diffusion.sdes import VE
    >>> prior_kl(VE(sigma_max=0.5), jnp.array([[1.0, 0.0]])).round(3)
    Array([2.], dtype=float32)
    """
    T = jnp.full(x_0.shape[:1], sde.T, x_0.dtype)
    return 0.5 * jnp.exp(sde.log_snr(T)) * sum_per_example(jnp.square(x_0))


def diffusion(sde: SDE, score: ScoreFn, key: PRNGKey, batch: Batch, strata: Strata) -> PerExample:
    """Return a one-sample estimate of the diffusion term in nats: [batch].

    The times are uniform in logSNR, and stratified over `strata` examples.

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.types import Batch
    >>> batch = Batch(jnp.zeros((4, 2)), jnp.arange(4))
    >>> diffusion(VP(), lambda x, t: -x, jax.random.key(0), batch, strata=4).shape
    (4,)
    """
    return denoising(sde, score, times_uniform_in_log_snr(sde, strata), likelihood_weighting(), key, batch)


def reconstruction(sde: SDE, levels: int, key: PRNGKey, batch: Batch) -> PerExample:
    """Return one draw of -log p(x_0 | x_eps) in nats, with x_eps ~ q(x_eps | x_0): [batch].

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.types import Batch
    >>> batch = Batch(jnp.zeros((4, 2)), jnp.arange(4))
    >>> (reconstruction(VP(), 3, jax.random.key(0), batch) + 0.0).round(3)
    Array([0., 0., 0., 0.], dtype=float32)
    """
    return reconstruction_at(sde, levels, batch.x, noised(sde, key, batch))


def noised(sde: SDE, key: PRNGKey, batch: Batch) -> Points:
    """Return x_eps ~ q(x_eps | x_0), the noisy image at t_min, with the shape of batch.x.

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.types import Batch
    >>> noised(VP(), jax.random.key(0), Batch(jnp.zeros((4, 2)), jnp.arange(4))).shape
    (4, 2)
    """
    t = jnp.full(batch.x.shape[:1], sde.t_min, batch.x.dtype)
    return diffuse(sde, batch.x, t, normal(keys_of(key, batch.index), batch.x))


def reconstruction_at(sde: SDE, levels: int, x_0: Points, x_eps: Points) -> PerExample:
    """Return -log p(x_0 | x_eps) in nats, for data on `levels` equal steps of [-1, 1]: [batch].

    This is VDM's discretised decoder (arXiv:2107.00630, eq. 8): p(x_0 | x_eps) is proportional to q(x_eps | x_0), for each pixel.
    The term is not small for 8-bit data unless log_snr(t_min) is above about 12.

    >>> from sde_vae.diffusion.sdes import VP
    >>> reconstruction_at(VP(t_min=1.0), 2, jnp.ones((1, 1)), jnp.zeros((1, 1))).round(3)
    Array([0.693], dtype=float32)
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
    """Convert nats per example to bits per dimension of x [batch, ...]: [batch].

    >>> bits_per_dim(jnp.array([4 * np.log(2.0)]), jnp.zeros((1, 2, 2, 1)))
    Array([1.00], dtype=float32)
    """
    return nats / (math.log(2) * math.prod(x.shape[1:]))
