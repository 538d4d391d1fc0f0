"""Importance-weighted tightening of the discrete-time bound (IWAE, arXiv:1509.00519).

    -log P(x_0) <= E[-log 1/K sum_k w_k] <= E[-log w],       any w >= 0 with E[w] = P(x_0)

Here the weight is that of a whole path of the T-step model of discrete.py, drawn from T to t_min from q(. | x_0):

    log w = log pi(x_T) - log q(x_T | x_0) + sum_i [log p(x_s | x_t) - log q(x_s | x_t, x_0)] + log p(x_0 | x_{t_min})
          [ + log p(z) - log q(z | x_0), for a score that is given z ~ q(z | x_0) ]

E[w] is exactly P(x_0) of the T-step model, and E[-log w] is its bound: prior_kl + discrete_diffusion_sum + reconstruction [+ KL].

The terms of terms.py and the one-step estimate `discrete_diffusion` may not be exponentiated: they are unbiased for the log only.
Let D be such an estimate of the diffusion term. exp(-D) is no ratio of densities. By Jensen's inequality its mean exceeds
exp(-E[D]), the more the draw of t makes D vary: a t at which the noise is easily predicted would count as a likely image.
-log mean exp(-D) then falls below the bound as K grows, and below -log P(x_0) itself, at once where the bound is tight. A true
weight costs T evaluations of the score.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.arrays import expand, fold, keys_of, normal, sum_per_example
from sde_vae.bounds.terms import reconstruction_at
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.scores import noise_of_score
from sde_vae.diffusion.sdes import SDE, diffuse
from sde_vae.solvers.grids import Grid
from sde_vae.types import Batch, Latents, PerExample, Points, PRNGKey, ScoreFn


def importance_weighted(log_w: Float[Array, "draws batch"]) -> PerExample:
    """Return the bound -log 1/K sum_k w_k in nats, from K independent weights of each example: [batch].

    >>> importance_weighted(jnp.log(jnp.array([[0.25], [0.75]]))).round(3)
    Array([0.693], dtype=float32)
    """
    return math.log(log_w.shape[0]) - jax.nn.logsumexp(log_w, axis=0)


def path_log_weight(sde: SDE, score: ScoreFn, times: Grid, levels: int, key: PRNGKey, batch: Batch) -> PerExample:
    """Return log w of one path in nats, for data on `levels` equal steps of [-1, 1]: [batch].

    The latent's part is not included: see `latent_log_weight`.

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.grids import uniform_log_snr
    >>> from sde_vae.types import Batch
    >>> batch, times = Batch(jnp.zeros((3, 2)), jnp.arange(3)), uniform_log_snr(VP(), steps=4)
    >>> path_log_weight(VP(), lambda x, t: -x, times, 3, jax.random.key(0), batch).shape
    (3,)
    """
    log_w, x_eps = posterior_path(sde, score, times, key, batch)
    return log_w - reconstruction_at(sde, levels, batch.x, x_eps)


def latent_log_weight(q: DiagGaussian, z: Latents) -> PerExample:
    """Return log p(z) - log q(z | x_0) in nats, with p(z) = N(0, I): [batch].

    >>> q = DiagGaussian(mean=jnp.ones((1, 1)), log_var=jnp.zeros((1, 1)))
    >>> latent_log_weight(q, jnp.ones((1, 1)))
    Array([-0.5], dtype=float32)
    """
    return DiagGaussian(jnp.zeros_like(z), jnp.zeros_like(z)).log_prob(z) - q.log_prob(z)


def posterior_path(sde: SDE, score: ScoreFn, times: Grid, key: PRNGKey, batch: Batch) -> tuple[PerExample, Points]:
    """Return (log w without its last term, x_{t_min}) of one path x_T, ..., x_{t_min} ~ q(. | x_0).

    In noise units, x_t = alpha_t x_0 + sigma_t eps_t, the posterior of transitions.py is eps_s = r eps_t + sqrt(1 - r^2) xi with
    r = e^{(l_t - l_s) / 2}. The model's mean is lower by sigma_Q delta, where delta = sqrt(e^{l_s - l_t} - 1) (eps_hat - eps_t). Hence

        log p(x_s | x_t) - log q(x_s | x_t, x_0) = 1/2 |xi|^2 - 1/2 |xi + delta|^2 = -<xi, delta> - 1/2 |delta|^2.

    The same holds at T, where the mean of pi is lower by sigma_T delta with delta = e^{l_T / 2} x_0.

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.grids import uniform_log_snr
    >>> from sde_vae.types import Batch
    >>> batch, times = Batch(jnp.zeros((3, 2)), jnp.arange(3)), uniform_log_snr(VP(), steps=4)
    >>> log_w, x_eps = posterior_path(VP(), lambda x, t: -x, times, jax.random.key(0), batch)
    >>> log_w.shape, x_eps.shape
    ((3,), (3, 2))
    """
    key_start, key_steps = jax.random.split(key)
    x_0, keys = batch.x, keys_of(key_steps, batch.index)
    full = jnp.ones(x_0.shape[:1], x_0.dtype)

    def body(
        carry: tuple[Points, PerExample], step: tuple[Array, Array, Array]
    ) -> tuple[tuple[Points, PerExample], None]:
        (eps, log_w), (i, t, s) = carry, (step[0], step[1] * full, step[2] * full)
        xi = normal(fold(keys, i), x_0)
        rise = expand(sde.log_snr(s) - sde.log_snr(t), x_0)
        eps_hat = noise_of_score(sde, score(diffuse(sde, x_0, t, eps), t), t)
        log_w = log_w + _log_ratio(xi, jnp.sqrt(jnp.expm1(rise)) * (eps_hat - eps))
        return (jnp.exp(-0.5 * rise) * eps + jnp.sqrt(-jnp.expm1(-rise)) * xi, log_w), None

    eps_T = normal(keys_of(key_start, batch.index), x_0)
    log_w_T = _log_ratio(eps_T, expand(jnp.exp(0.5 * sde.log_snr(times[0] * full)), x_0) * x_0)
    steps = jnp.arange(times.shape[0] - 1), times[:-1], times[1:]
    (eps, log_w), _ = jax.lax.scan(body, (eps_T, log_w_T), steps)
    return log_w, diffuse(sde, x_0, times[-1] * full, eps)


def _log_ratio(xi: Points, delta: Points) -> PerExample:
    """Return log N(y; mu - sigma delta, sigma^2 I) - log N(y; mu, sigma^2 I) at y = mu + sigma xi."""
    return -sum_per_example(delta * (xi + 0.5 * delta))
