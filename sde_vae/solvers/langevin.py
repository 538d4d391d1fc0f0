"""Langevin dynamics at one noise level: the corrector of predictor-corrector sampling."""

import jax
import jax.numpy as jnp

from sde_vae.arrays import expand, fold, normal
from sde_vae.diffusion.sdes import SDE
from sde_vae.solvers.step import Solver, Step, compose, one_step
from sde_vae.types import Keys, PerExample, Points, ScoreFn


def langevin(snr: float = 0.16, steps: int = 1) -> Solver:
    """Return `steps` Langevin steps x + epsilon s + sqrt(2 epsilon) xi at t_next (arXiv:2011.13456, algorithm 4).

    Each step evaluates the score once. The paper sets epsilon = 2 (snr |xi| / |s|)^2, with norms over the batch. Here the norms
    are replaced by their expectations under the score of q(x_t | x_0), E|xi|^2 = d and E|s|^2 = d / sigma^2. Then
    epsilon = 2 (snr sigma)^2 does not couple the examples. Nor does it depend on x, which would change the stationary
    distribution of the dynamics.

    >>> from sde_vae.arrays import keys_of
    >>> from sde_vae.diffusion.sdes import VP
    >>> step, t = langevin(steps=2)(VP(), lambda x, t: -x), jnp.full(3, 0.5)
    >>> x, memory = step.move(keys_of(jax.random.key(0), jnp.arange(3)), jnp.zeros((3, 2)), (), t, t)
    >>> x.shape
    (3, 2)
    """

    def solver(sde: SDE, score: ScoreFn) -> Step:
        def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
            del t
            epsilon = expand(2 * jnp.square(snr * sde.sigma(t_next)), x)

            def langevin_step(i: int | jax.Array, x: Points) -> Points:
                return x + epsilon * score(x, t_next) + jnp.sqrt(2 * epsilon) * normal(fold(keys, i), x)

            return jax.lax.fori_loop(0, steps, langevin_step, x)

        return one_step(move)

    return solver


def predictor_corrector(predictor: Solver, corrector: Solver) -> Solver:
    """Return the solver that makes a step of `predictor` and then one of `corrector`, on the same score: see `compose`.

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.stochastic import reverse_diffusion
    >>> step = predictor_corrector(reverse_diffusion, langevin())(VP(), lambda x, t: -x)
    >>> step.start(jnp.zeros((3, 2)))
    ((), ())
    """
    return lambda sde, score: compose(predictor(sde, score), corrector(sde, score))
