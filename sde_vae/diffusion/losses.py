"""The denoising losses, per example: of x, and of x and y together.

Every denoising loss of the field is one integral over the noise level l = logSNR (Kingma & Gao 2023, arXiv:2303.00848):

    L_w = 1/2 int w(l) E || eps_hat(x_l) - eps ||^2 dl

w = 1 is the likelihood weighting. It equals 1/2 g^2 ||s - grad log p(x_t | x_0)||^2 integrated over t, and only it gives a
bound. The weight determines what is learnt (`weights`). The time sampler determines only the variance of the estimate
(`time_samplers`).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sde_vae.arrays import keys_of, normal, sum_per_example
from sde_vae.diffusion.scores import noise_of_score
from sde_vae.diffusion.sdes import SDE, diffuse, log_snr_rate
from sde_vae.diffusion.time_samplers import TimeSampler
from sde_vae.diffusion.weights import Weight
from sde_vae.types import Batch, Condition, Observed, PerExample, Points, PRNGKey, ScoreFn

# NoiseFn(x_t, y_t, t) -> (eps_hat of x, eps_hat of y): the noise of both, made of their joint score
NoiseFn = Callable[[Points, Observed, PerExample], tuple[Points, Observed]]


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


def joint_denoising(
    sde: SDE,
    y_sde: SDE,
    noise: NoiseFn,
    times: TimeSampler,
    weight: Weight,
    key: PRNGKey,
    batch: Batch,
    condition: Condition,
) -> tuple[PerExample, PerExample]:
    """Return (x's part, y's part) of the denoising loss of the joint score of (x_t, y_t), in nats per example: [batch] each.

    x and y are diffused by SDEs of their own. The weight is the block matrix of arXiv:2207.09786: g_x^2 on the coordinates of x and g_y^2
    on those of y, times w(l) at the level l of x. With w = 1 the sum of the parts is the diffusion term of a bound on -log p(x, y). Where
    the condition has a mask, the hidden pixels of y are no coordinates.
    """
    # The first keys do not depend on the number of keys: x_t is that of `denoising`.
    key_t, key_eps, key_y = jax.random.split(key, 3)
    t, dl_dp = times(key_t, batch.index)
    eps_x = normal(keys_of(key_eps, batch.index), batch.x)
    eps_y = seen(normal(keys_of(key_y, batch.index), condition.y), condition)
    x_t, y_t = diffuse(sde, batch.x, t, eps_x), diffuse(y_sde, condition.y, t, eps_y)
    of_x, of_y = noise(x_t, y_t, t)
    scale = 0.5 * weight(sde.log_snr(t)) * dl_dp
    # dl_y / dp = dl_x / dp (dl_y / dt) / (dl_x / dt)
    ratio = log_snr_rate(y_sde, t) / log_snr_rate(sde, t)
    loss_y = scale * ratio * sum_per_example(jnp.square(seen(of_y, condition) - eps_y))
    return scale * sum_per_example(jnp.square(of_x - eps_x)), loss_y


def seen(y: Observed, condition: Condition) -> Observed:
    """Return y with 0 in the pixels that the condition's mask hides."""
    return y if condition.mask is None else y * condition.mask
