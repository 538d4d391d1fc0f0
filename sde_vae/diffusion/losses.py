"""The denoising loss, per example.

Every denoising loss of the field is one integral over the noise level l = logSNR (Kingma & Gao 2023, arXiv:2303.00848):

    L_w = 1/2 int w(l) E || eps_hat(x_l) - eps ||^2 dl

w = 1 is the likelihood weighting. It equals 1/2 g^2 ||s - grad log p(x_t | x_0)||^2 integrated over t, and only it gives a
bound. The weight determines what is learnt (`weights`). The time sampler determines only the variance of the estimate
(`time_samplers`).
"""

import jax
import jax.numpy as jnp

from sde_vae.arrays import keys_of, normal, sum_per_example
from sde_vae.diffusion.scores import noise_of_score
from sde_vae.diffusion.sdes import SDE, diffuse
from sde_vae.diffusion.time_samplers import TimeSampler
from sde_vae.diffusion.weights import Weight
from sde_vae.types import Batch, PerExample, PRNGKey, ScoreFn


def denoising(sde: SDE, score: ScoreFn, times: TimeSampler, weight: Weight, key: PRNGKey, batch: Batch) -> PerExample:
    """Return an unbiased one-sample estimate of L_w in nats per example: [batch].

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
    >>> from sde_vae.diffusion.weights import likelihood_weighting
    >>> from sde_vae.types import Batch
    >>> batch = Batch(x=jnp.zeros((4, 2)), index=jnp.arange(4))
    >>> times = times_uniform_in_log_snr(VP(), strata=4)
    >>> denoising(VP(), lambda x, t: -x, times, likelihood_weighting(), jax.random.key(0), batch).shape
    (4,)
    """
    key_t, key_eps = jax.random.split(key)
    t, dl_dp = times(key_t, batch.index)
    eps = normal(keys_of(key_eps, batch.index), batch.x)
    eps_hat = noise_of_score(sde, score(diffuse(sde, batch.x, t, eps), t), t)
    return 0.5 * weight(sde.log_snr(t)) * dl_dp * sum_per_example(jnp.square(eps_hat - eps))
