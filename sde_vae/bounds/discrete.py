"""The discrete-time bound L_T: the diffusion model as a hierarchical VAE of T stochastic layers.

On a grid T = t_0 > ... > t_n = t_min, with t = t_i and s = t_{i+1}, the model draws x_s from
p(x_s | x_t) = q(x_s | x_t, x_0 = x0_hat(x_t)). This is the posterior of transitions.py, with variance sigma_Q^2, and with the
denoised image in place of the image. The KL of one step is

    E KL(q(x_s | x_t, x_0) || p(x_s | x_t)) = 1/2 k E||eps_hat - eps||^2,       k = e^{l_s - l_t} - 1

(DDPM, arXiv:2006.11239, eq. 5; VDM, arXiv:2107.00630, eq. 11-15). The sum over the steps replaces the diffusion term of
terms.py; the other terms are the same. As the grid becomes finer, the sum tends to the diffusion term, from above if the
denoiser is good.

Each step may have a variance v_i of its own, p(x_s | x_t) = N(mu(x_t, x0_hat), v_i I). The best one is Analytic-DPM's
(arXiv:2201.06503, theorem 1): v_i = sigma_Q^2 + c^2 E||x_0 - x0_hat||^2 / d, where c = alpha_s (1 - e^{l_t - l_s}) is the
coefficient of x_0 in mu. In noise units v_i / sigma_Q^2 = 1 + k m_i, with m_i = E||eps_hat - eps||^2 / d. The KL of one step is then

    KL = 1/2 [d log(1 + k m_i) + k (||eps_hat - eps||^2 - d m_i) / (1 + k m_i)].

With one step the model is a VAE with a fitted Gaussian decoder, whose latent x_T has the size of the data.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.arrays import fold, keys_of, normal, sum_per_example
from sde_vae.diffusion.scores import noise_of_score
from sde_vae.diffusion.sdes import SDE, diffuse
from sde_vae.diffusion.time_samplers import stratified
from sde_vae.solvers.grids import Grid
from sde_vae.types import Batch, PerExample, Points, PRNGKey, ScoreFn

PerStep = Float[Array, "steps"]


def discrete_diffusion(sde: SDE, score: ScoreFn, times: Grid, strata: int, key: PRNGKey, batch: Batch) -> PerExample:
    """Return an unbiased one-sample estimate of the sum over the n steps, in nats: [batch].

    Each example takes one step, stratified over `strata`, and counts it n times. The examples share the draw that shifts the
    strata. With a multiple of n strata every step is taken equally often, whatever the draw. With fewer, the error of the draw
    is common to all examples, and a standard error over examples does not include it.

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.grids import uniform_log_snr
    >>> from sde_vae.types import Batch
    >>> batch, times = Batch(jnp.zeros((3, 2)), jnp.arange(3)), uniform_log_snr(VP(), steps=4)
    >>> discrete_diffusion(VP(), lambda x, t: -x, times, 4, jax.random.key(0), batch).shape
    (3,)
    """
    key_step, key_eps = jax.random.split(key)
    n = times.shape[0] - 1
    # Rounding may overshoot the end.
    i = jnp.minimum((n * stratified(key_step, batch.index, strata)).astype(jnp.int32), n - 1)
    eps = normal(keys_of(key_eps, batch.index), batch.x)
    return 0.5 * n * growth(sde, times)[i] * _error(sde, score, batch.x, eps, times[i])


def discrete_diffusion_sum(sde: SDE, score: ScoreFn, times: Grid, key: PRNGKey, batch: Batch) -> PerExample:
    """Return the sum over all n steps, with one eps for each, in nats: [batch]. It evaluates the score n times.

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.grids import uniform_log_snr
    >>> from sde_vae.types import Batch
    >>> batch, times = Batch(jnp.zeros((3, 2)), jnp.arange(3)), uniform_log_snr(VP(), steps=4)
    >>> discrete_diffusion_sum(VP(), lambda x, t: -x, times, jax.random.key(0), batch).shape
    (3,)
    """
    return 0.5 * jnp.sum(step_errors(sde, score, times, key, batch) * growth(sde, times)[None], axis=1)


def step_errors(sde: SDE, score: ScoreFn, times: Grid, key: PRNGKey, batch: Batch) -> Float[Array, "batch steps"]:
    """Return ||eps_hat - eps||^2 at the start t_i of every step, with one eps for each: [batch, steps].

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.grids import uniform_log_snr
    >>> from sde_vae.types import Batch
    >>> batch, times = Batch(jnp.zeros((3, 2)), jnp.arange(3)), uniform_log_snr(VP(), steps=4)
    >>> step_errors(VP(), lambda x, t: -x, times, jax.random.key(0), batch).shape
    (3, 4)
    """
    keys = keys_of(key, batch.index)

    def body(carry: None, step: tuple[Array, Array]) -> tuple[None, PerExample]:
        i, t = step
        eps = normal(fold(keys, i), batch.x)
        return carry, _error(sde, score, batch.x, eps, jnp.full(batch.x.shape[:1], t))

    _, errors = jax.lax.scan(body, None, (jnp.arange(times.shape[0] - 1), times[:-1]))
    return errors.T


def fitted_diffusion(
    sde: SDE, times: Grid, error: Float[Array, "batch steps"], fitted_error: PerStep, dimensions: int
) -> PerExample:
    """Return the sum over the steps with fitted variances, in nats: [batch].

    `error` is the result of `step_errors` for images of so many `dimensions`. `fitted_error` holds the m_i, the means of
    `step_errors` / dimensions over *other* images, such as training images. Measured on the images that are bounded, or on
    their own eps, they would not give a bound. At m_i = 0 the variance is sigma_Q^2, and the sum is `discrete_diffusion_sum`.

    >>> from sde_vae.diffusion.sdes import VE
    >>> sde, times = VE(sigma_min=1.0, sigma_max=np.e), jnp.array([1.0, 0.0])
    >>> fitted_diffusion(sde, times, error=jnp.array([[2.0]]), fitted_error=jnp.array([0.0]), dimensions=2).round(3)
    Array([6.389], dtype=float32)
    """
    k, m = growth(sde, times)[None], fitted_error[None]
    return 0.5 * jnp.sum(dimensions * jnp.log1p(k * m) + k * (error - dimensions * m) / (1 + k * m), axis=-1)


def growth(sde: SDE, times: Grid) -> PerStep:
    """Return k = e^{l_s - l_t} - 1 of each step, the relative growth of the signal-to-noise ratio: [steps].

    >>> from sde_vae.diffusion.sdes import VE
    >>> growth(VE(sigma_min=1.0, sigma_max=np.e), jnp.array([1.0, 0.0])).round(3)
    Array([6.389], dtype=float32)
    """
    return jnp.expm1(jnp.diff(sde.log_snr(times)))


def _error(sde: SDE, score: ScoreFn, x_0: Points, eps: Points, t: PerExample) -> PerExample:
    eps_hat = noise_of_score(sde, score(diffuse(sde, x_0, t, eps), t), t)
    return sum_per_example(jnp.square(eps_hat - eps))
