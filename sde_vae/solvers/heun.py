"""Heun's method with churn: the stochastic sampler of EDM (arXiv:2206.00364, algorithm 2), for any SDE."""

import math

import jax.numpy as jnp

from sde_vae.arrays import expand, normal
from sde_vae.diffusion.scores import noise_of_score
from sde_vae.diffusion.sdes import SDE
from sde_vae.solvers.step import Solver, Step, one_step
from sde_vae.types import Keys, PerExample, Points, ScoreFn


def heun(churn: float = 0.0, s_noise: float = 1.0) -> Solver:
    """Two evaluations of the score a step, of second order; churn is EDM's S_churn / N, its gamma before the bound of sqrt(2) - 1.

    In y = x / alpha and sigma = sigma_t / alpha_t = e^{-l / 2} the probability-flow ODE of every SDE is dy / dsigma = eps_hat.
    Churn first takes x back up to (1 + gamma) sigma, though never above T. Without it a step works in both directions of time.
    """
    gamma = min(churn, math.sqrt(2) - 1)

    def solver(sde: SDE, score: ScoreFn) -> Step:
        def noise_level(t: PerExample) -> PerExample:
            return jnp.exp(-0.5 * sde.log_snr(t))

        def slope(y: Points, t: PerExample) -> Points:
            return noise_of_score(sde, score(expand(sde.alpha(t), y) * y, t), t)

        def raised(keys: Keys, y: Points, t: PerExample) -> tuple[Points, PerExample]:
            up = jnp.minimum(sde.t_of_log_snr(sde.log_snr(t) - 2 * math.log1p(gamma)), sde.T)
            added = jnp.sqrt(jnp.maximum(jnp.square(noise_level(up)) - jnp.square(noise_level(t)), 0))
            return y + s_noise * expand(added, y) * normal(keys, y), up

        def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
            y = x / expand(sde.alpha(t), x)
            if gamma > 0:
                y, t = raised(keys, y, t)
            d_sigma = expand(noise_level(t_next) - noise_level(t), x)
            d = slope(y, t)
            d_next = slope(y + d_sigma * d, t_next)
            return expand(sde.alpha(t_next), x) * (y + d_sigma * 0.5 * (d + d_next))

        return one_step(move)

    return solver
