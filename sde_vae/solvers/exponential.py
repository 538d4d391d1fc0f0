"""DDIM and DPM-Solver++, exponential integrators with one evaluation of the score a step.

Both are exact if the denoised image is constant over a step. From x_t they go to

    x_s = alpha_s x0_hat + sqrt(sigma_s^2 - eta^2 sigma_Q^2) eps_hat + eta sigma_Q xi,      eps_hat = (x_t - alpha_t x0_hat) / sigma_t

with sigma_Q the standard deviation of q(x_s | x_t, x_0). DDIM takes x0_hat at x_t. DPM-Solver++ 2M extrapolates x0_hat linearly
in logSNR, from the last step and this one. eta = 0 solves the probability-flow ODE in either direction of time. eta = 1 solves
the reverse SDE, from T to t_min only.
"""

import jax.numpy as jnp

from sde_vae.arrays import expand, normal
from sde_vae.diffusion.scores import denoised_of_noise, noise_of_denoised, noise_of_score
from sde_vae.diffusion.sdes import SDE
from sde_vae.diffusion.transitions import posterior_std
from sde_vae.solvers.step import Memory, Solver, Step, one_step
from sde_vae.types import Keys, PerExample, Points, ScoreFn


def ddim(eta: float = 0.0, clip: bool = False) -> Solver:
    """Return the solver DDIM (arXiv:2010.02502, eq. 12 and 16).

    With `clip`, x0_hat is clipped to [-1, 1], where the data are, and eps_hat stays as it is, as in diffusers' DDIMScheduler. Such a
    step solves the ODE no longer, and has no inverse.

    Data that are one point are decoded exactly in one step:

    >>> from sde_vae.arrays import keys_of
    >>> from sde_vae.diffusion.scores import point_mass_score
    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.step import integrate
    >>> step = ddim()(VP(), point_mass_score(VP(), jnp.array([[0.5]])))
    >>> keys = keys_of(jax.random.key(0), jnp.arange(1))
    >>> integrate(step, keys, jnp.array([[2.0]]), jnp.array([1.0, 0.001])).round(2)
    Array([[0.52]], dtype=float32)
    """

    def solver(sde: SDE, score: ScoreFn) -> Step:
        def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
            eps_hat = noise_of_score(sde, score(x, t), t)
            x0_hat = denoised_of_noise(sde, eps_hat, x, t)
            x0_hat = jnp.clip(x0_hat, -1, 1) if clip else x0_hat
            return _move_to(sde, eta, keys, x0_hat, eps_hat, t, t_next)

        return one_step(move)

    return solver


def dpm_solver_pp_2m(eta: float = 0.0) -> Solver:
    """Return the solver DPM-Solver++ 2M (arXiv:2211.01095, algorithm 2); with eta = 1, SDE-DPM-Solver++ 2M (section 5).

    The first step is DDIM's: its predecessor is placed at logSNR -inf, where it has no weight in the extrapolation.

    >>> from sde_vae.arrays import keys_of
    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.grids import uniform_log_snr
    >>> from sde_vae.solvers.step import integrate
    >>> step, keys = dpm_solver_pp_2m()(VP(), lambda x, t: -x), keys_of(jax.random.key(0), jnp.arange(1))
    >>> integrate(step, keys, jnp.array([[2.0]]), uniform_log_snr(VP(), 50)).round(1)
    Array([[2.]], dtype=float32)
    """

    def solver(sde: SDE, score: ScoreFn) -> Step:
        def start(x: Points) -> Memory:
            return jnp.zeros_like(x), jnp.full(x.shape[:1], -jnp.inf, x.dtype)

        def move(keys: Keys, x: Points, memory: Memory, t: PerExample, t_next: PerExample) -> tuple[Points, Memory]:
            x0_before, l_before = memory
            l, l_next = sde.log_snr(t), sde.log_snr(t_next)
            x0_hat = denoised_of_noise(sde, noise_of_score(sde, score(x, t), t), x, t)
            # 1 / (2 r), r = h_before / h: the midpoint of the step ahead.
            weight = expand(0.5 * (l_next - l) / (l - l_before), x)
            ahead = x0_hat + weight * (x0_hat - x0_before)
            return _move_to(sde, eta, keys, ahead, noise_of_denoised(sde, ahead, x, t), t, t_next), (x0_hat, l)

        return Step(start, move)

    return solver


def _move_to(
    sde: SDE, eta: float, keys: Keys, x0_hat: Points, eps_hat: Points, t: PerExample, t_next: PerExample
) -> Points:
    alpha, sigma = expand(sde.alpha(t_next), x0_hat), expand(sde.sigma(t_next), x0_hat)
    if eta == 0:  # without noise: with increasing time sigma_Q is not defined
        return alpha * x0_hat + sigma * eps_hat
    noise_std = eta * expand(posterior_std(sde, t, t_next), x0_hat)
    # sqrt(sigma^2 - noise_std^2), in a form that rounding cannot make negative: sigma_Q^2 = sigma^2 (1 - e^{l_t - l_s}).
    kept = jnp.sqrt(1 - eta**2 + eta**2 * expand(jnp.exp(sde.log_snr(t) - sde.log_snr(t_next)), x0_hat))
    return alpha * x0_hat + sigma * kept * eps_hat + noise_std * normal(keys, x0_hat)
