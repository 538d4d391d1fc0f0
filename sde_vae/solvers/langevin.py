"""Langevin dynamics at one noise level: the corrector of predictor-corrector sampling."""

import jax
import jax.numpy as jnp

from sde_vae.arrays import expand, fold, normal
from sde_vae.diffusion.sdes import SDE
from sde_vae.solvers.step import Solver, Step, compose, one_step
from sde_vae.types import Keys, PerExample, Points, ScoreFn


def langevin(snr: float = 0.16, steps: int = 1) -> Solver:
    """x + epsilon s + sqrt(2 epsilon) xi, `steps` times, at t_next (arXiv:2011.13456, algorithm 4); one evaluation of the score each.

    The paper sets epsilon = 2 (snr |xi| / |s|)^2 by norms over the batch. Here they are replaced by what they are in expectation for
    the score of q(x_t | x_0), E|xi|^2 = d and E|s|^2 = d / sigma^2, so that epsilon = 2 (snr sigma)^2: it does not couple the
    examples, nor depend on x, which would change the distribution that the dynamics leaves as it is.
    """

    def solver(sde: SDE, score: ScoreFn) -> Step:
        def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
            del t
            epsilon = expand(2 * jnp.square(snr * sde.sigma(t_next)), x)

            def once(i: int | jax.Array, x: Points) -> Points:
                return x + epsilon * score(x, t_next) + jnp.sqrt(2 * epsilon) * normal(fold(keys, i), x)

            return jax.lax.fori_loop(0, steps, once, x)

        return one_step(move)

    return solver


def predictor_corrector(predictor: Solver, corrector: Solver) -> Solver:
    """Both on the same score: see `compose`."""
    return lambda sde, score: compose(predictor(sde, score), corrector(sde, score))
