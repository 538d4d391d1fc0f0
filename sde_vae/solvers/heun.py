"""Heun's method with churn: the stochastic sampler of EDM (arXiv:2206.00364, algorithm 2), for any SDE."""

import math

import jax.numpy as jnp

from sde_vae.arrays import expand, normal
from sde_vae.diffusion.scores import noise_of_score
from sde_vae.diffusion.sdes import SDE
from sde_vae.solvers.step import Solver, Step, one_step
from sde_vae.types import Keys, PerExample, Points, ScoreFn


def heun(churn: float = 0.0, s_noise: float = 1.0) -> Solver:
    """Return Heun's method, of second order, with two evaluations of the score a step.

    In y = x / alpha and sigma = sigma_t / alpha_t = e^{-l / 2}, the probability-flow ODE of every SDE is dy / dsigma = eps_hat.

    `churn` is EDM's S_churn / N. It is bounded by sqrt(2) - 1, which gives EDM's gamma. With churn, a step first adds noise up to
    (1 + gamma) sigma, but not above T; `s_noise` scales that noise. Without churn a step works in both directions of time.

    >>> from sde_vae.arrays import keys_of
    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.grids import uniform_log_snr
    >>> from sde_vae.solvers.step import integrate
    >>> step, keys = heun()(VP(), lambda x, t: -x), keys_of(jax.random.key(0), jnp.arange(1))
    >>> integrate(step, keys, jnp.array([[2.0]]), uniform_log_snr(VP(), 50)).round(1)
    Array([[2.]], dtype=float32)
    """
    gamma = min(churn, math.sqrt(2) - 1)

    def solver(sde: SDE, score: ScoreFn) -> Step:
        def noise_level(t: PerExample) -> PerExample:
            return jnp.exp(-0.5 * sde.log_snr(t))

        def slope(y: Points, t: PerExample) -> Points:
            return noise_of_score(sde, score(expand(sde.alpha(t), y) * y, t), t)

        def add_noise(keys: Keys, y: Points, t: PerExample) -> tuple[Points, PerExample]:
            up = jnp.minimum(sde.t_of_log_snr(sde.log_snr(t) - 2 * math.log1p(gamma)), sde.T)
            added = jnp.sqrt(jnp.maximum(jnp.square(noise_level(up)) - jnp.square(noise_level(t)), 0))
            return y + s_noise * expand(added, y) * normal(keys, y), up

        def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
            y = x / expand(sde.alpha(t), x)
            if gamma > 0:
                y, t = add_noise(keys, y, t)
            d_sigma = expand(noise_level(t_next) - noise_level(t), x)
            d = slope(y, t)
            d_next = slope(y + d_sigma * d, t_next)
            return expand(sde.alpha(t_next), x) * (y + d_sigma * 0.5 * (d + d_next))

        return one_step(move)

    return solver
