"""The discrete-time bound L_T: the diffusion model as a hierarchical VAE of T stochastic layers.

On a grid T = t_0 > ... > t_n = t_min the model draws x_s, s = t_{i+1}, from p(x_s | x_t) = q(x_s | x_t, x_0 = x0_hat(x_t)), t = t_i: the
posterior of transitions.py with the denoised image in the place of the image, its variance sigma_Q^2. A step then costs

    E KL(q(x_s | x_t, x_0) || p(x_s | x_t)) = 1/2 k E||eps_hat - eps||^2,       k = e^{l_s - l_t} - 1

(DDPM, arXiv:2006.11239, eq. 5; VDM, arXiv:2107.00630, eq. 11-15). The sum over the steps takes the place of the diffusion term of
terms.py, the other terms stay; as the grid becomes finer it tends to that term, from above if the denoiser is good.

With a variance v_i of its own for each step, p(x_s | x_t) = N(mu(x_t, x0_hat), v_i I), the best is Analytic-DPM's (arXiv:2201.06503,
theorem 1): v_i = sigma_Q^2 + c^2 E||x_0 - x0_hat||^2 / d, where c = alpha_s (1 - e^{l_t - l_s}) is the coefficient of x_0 in mu. In noise
units it is v_i / sigma_Q^2 = 1 + k m_i, m_i = E||eps_hat - eps||^2 / d, and a step costs

    KL = 1/2 [d log(1 + k m_i) + k (||eps_hat - eps||^2 - d m_i) / (1 + k m_i)].

With one step this is a VAE, its latent x_T of the size of the data, with a fitted Gaussian decoder.
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
    """A one-sample unbiased estimate of the sum over the n steps: one step per example, stratified over `strata`, times n.

    The examples share the draw that shifts the strata. With a multiple of n strata every step is taken equally often, whatever the
    draw; with fewer, the draw's error is common to all examples, and a standard error over them does not show it.
    """
    key_step, key_eps = jax.random.split(key)
    n = times.shape[0] - 1
    # Rounding may step over the end.
    i = jnp.minimum((n * stratified(key_step, batch.index, strata)).astype(jnp.int32), n - 1)
    eps = normal(keys_of(key_eps, batch.index), batch.x)
    return 0.5 * n * growth(sde, times)[i] * _error(sde, score, batch.x, eps, times[i])


def discrete_diffusion_sum(sde: SDE, score: ScoreFn, times: Grid, key: PRNGKey, batch: Batch) -> PerExample:
    """The sum over all n steps, one eps each: n evaluations of the score."""
    return 0.5 * step_errors(sde, score, times, key, batch) @ growth(sde, times)


def step_errors(sde: SDE, score: ScoreFn, times: Grid, key: PRNGKey, batch: Batch) -> Float[Array, "batch steps"]:
    """||eps_hat - eps||^2 at the start t_i of every step, one eps each."""
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
    """The sum over the steps with fitted variances, from `step_errors` of images of so many dimensions.

    fitted_error holds the m_i, means of `step_errors` / dimensions over *other* images (training ones): measured on the images that are
    bounded, or on their own eps, it would not be a bound. At m_i = 0 the variance is sigma_Q^2 and the sum that of
    `discrete_diffusion_sum`.
    """
    k, m = growth(sde, times)[None], fitted_error[None]
    return 0.5 * jnp.sum(dimensions * jnp.log1p(k * m) + k * (error - dimensions * m) / (1 + k * m), axis=-1)


def growth(sde: SDE, times: Grid) -> PerStep:
    """k = e^{l_s - l_t} - 1 of each step: by how much it raises the signal-to-noise ratio."""
    return jnp.expm1(jnp.diff(sde.log_snr(times)))


def _error(sde: SDE, score: ScoreFn, x_0: Points, eps: Points, t: PerExample) -> PerExample:
    eps_hat = noise_of_score(sde, score(diffuse(sde, x_0, t, eps), t), t)
    return sum_per_example(jnp.square(eps_hat - eps))
