"""The denoising loss, per example.

Every loss of the field is one integral over noise levels l = logSNR (Kingma & Gao 2023, arXiv:2303.00848):

    L_w = 1/2 int w(l) E || eps_hat(x_l) - eps ||^2 dl

w = 1 is the likelihood weighting: 1/2 g^2 ||s - grad log p(x_t|x_0)||^2 integrated over t is exactly that, and only it makes a
bound. A weight decides what is learnt (`weights`), a time sampler only the variance of the estimate (`time_samplers`).
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
    """An unbiased one-sample estimate of L_w in nats, per example: shape [batch]."""
    key_t, key_eps = jax.random.split(key)
    t, dl_dp = times(key_t, batch.index)
    eps = normal(keys_of(key_eps, batch.index), batch.x)
    eps_hat = noise_of_score(sde, score(diffuse(sde, batch.x, t, eps), t), t)
    return 0.5 * weight(sde.log_snr(t)) * dl_dp * sum_per_example(jnp.square(eps_hat - eps))
