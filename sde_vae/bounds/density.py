"""The evidence bound of a density, for data that are not on a lattice: vectors, time series, latents of another model.

    -log p(x_0) <= KL(q(z|x_0) || N(0, I)) + KL(p(x_T|x_0) || pi) + diffusion + E[-log p(x_0 | x_eps)],      eps = t_min

The first three terms are those of terms.py. The last one is a density in place of a mass: the Gaussian with the mean of Tweedie's
formula and the variance of the noise in units of the data,

    p(x_0 | x_eps) = N(x_0; E[x_0 | x_eps], e^{-l} I),      l = log_snr(t_min).

In noise units it is 1/2 ||eps_hat - eps||^2 + d/2 (log 2 pi - l). The bound holds for any mean. This one is the x_0 that solvers end
with. For the exact score of Gaussian data with the variances v_i, the term exceeds the exact one by the sum over i of
1/2 (r_i - 1 - log r_i), r_i = v_i / (v_i + e^{-l}): a quarter of (e^{-l} / v_i)^2. The mean x_eps / alpha would exceed it by half of e^{-l} / v_i.
"""

import math

import jax
import jax.numpy as jnp

from sde_vae.arrays import keys_of, normal, sum_per_example
from sde_vae.bounds.terms import Terms, diffusion, prior_kl
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.scores import noise_of_score
from sde_vae.diffusion.sdes import SDE, diffuse
from sde_vae.types import Batch, PerExample, PRNGKey, ScoreFn, Strata


def density_bound(
    sde: SDE,
    q: DiagGaussian | None,
    score: ScoreFn,
    log_volume: float,
    strata: Strata,
    key: PRNGKey,
    batch: Batch,
) -> Terms:
    """Return one draw of every term of the bound on -log p in nats; their sum may be negative, as that of a density.

    `log_volume` is the log-determinant of the map from x to the units of the density, the sum of log std over all dimensions for
    standardised data. It is part of the last term. q and the score are as in `terms.evidence_bound`.

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.types import Batch
    >>> batch = Batch(jnp.zeros((4, 2)), jnp.arange(4))
    >>> density_bound(VP(), None, lambda x, t: -x, 0.0, 4, jax.random.key(0), batch).total.shape
    (4,)
    """
    key_diffusion, key_reconstruction = jax.random.split(key)
    return Terms(
        kl=jnp.zeros(batch.x.shape[:1], batch.x.dtype) if q is None else q.kl_to_standard(),
        prior=prior_kl(sde, batch.x),
        diffusion=diffusion(sde, score, key_diffusion, batch, strata),
        reconstruction=reconstruction_density(sde, score, key_reconstruction, batch) + log_volume,
    )


def reconstruction_density(sde: SDE, score: ScoreFn, key: PRNGKey, batch: Batch) -> PerExample:
    """Return one draw of -log p(x_0 | x_eps) in nats, with x_eps ~ q(x_eps | x_0): [batch].

    >>> from sde_vae.diffusion.sdes import VE
    >>> sde, batch = VE(sigma_min=0.1, t_min=1e-6), Batch(jnp.zeros((1, 2)), jnp.arange(1))
    >>> of_a_point = lambda x, t: -x / sde.sigma(t)[:, None] ** 2
    >>> reconstruction_density(sde, of_a_point, jax.random.key(0), batch).round(2)  # log(2 pi 0.1^2)
    Array([-2.77], dtype=float32)
    """
    x_0 = batch.x
    t = jnp.full(x_0.shape[:1], sde.t_min, x_0.dtype)
    eps = normal(keys_of(key, batch.index), x_0)
    x_eps = diffuse(sde, x_0, t, eps)
    eps_hat = noise_of_score(sde, score(x_eps, t), t)
    dimensions = math.prod(x_0.shape[1:])
    return 0.5 * (sum_per_example(jnp.square(eps_hat - eps)) + dimensions * (math.log(2 * math.pi) - sde.log_snr(t)))
