"""One step type, and one `integrate`, for every solver of the reverse SDE and of the probability-flow ODE.

A solver is a function of an SDE and a score; what it returns is a Step. It takes any ScoreFn (the prior's, Bayes', a guided
one) and any direction of time that its formula allows. Noise is drawn from one key per example, so that a reconstruction does
not depend on which other examples share its batch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.arrays import expand, fold
from sde_vae.diffusion.scores import denoised_of_noise, noise_of_score
from sde_vae.diffusion.sdes import SDE
from sde_vae.solvers.grids import Grid
from sde_vae.types import Keys, PerExample, Points, ScoreFn

# What a multistep method remembers of the steps before: a pytree of arrays, () for a one-step method.
Memory = Any


class Step(NamedTuple):
    """start(x) -> memory                                             before the first step
    move(keys, x, memory, t, t_next) -> (x at t_next, memory)         t and t_next are [batch]
    """

    start: Callable[[Points], Memory]
    move: Callable[[Keys, Points, Memory, PerExample, PerExample], tuple[Points, Memory]]


Solver = Callable[[SDE, ScoreFn], Step]


def one_step(move: Callable[[Keys, Points, PerExample, PerExample], Points]) -> Step:
    """A Step that remembers nothing, from move(keys, x, t, t_next) -> x at t_next."""
    return Step(lambda x: (), lambda keys, x, memory, t, t_next: (move(keys, x, t, t_next), memory))


def compose(predictor: Step, corrector: Step) -> Step:
    """Predictor-corrector (arXiv:2011.13456, algorithm 1): move to t_next, then correct there."""

    def start(x: Points) -> Memory:
        return predictor.start(x), corrector.start(x)

    def move(keys: Keys, x: Points, memory: Memory, t: PerExample, t_next: PerExample) -> tuple[Points, Memory]:
        first, second = memory
        x, first = predictor.move(fold(keys, 0), x, first, t, t_next)
        x, second = corrector.move(fold(keys, 1), x, second, t_next, t_next)
        return x, (first, second)

    return Step(start, move)


def integrate(step: Step, keys: Keys, x: Points, times: Grid) -> Points:
    """x at times[-1], from x at times[0]. Downwards in t it decodes; upwards (an ODE's step) it inverts."""

    return _scan(step, keys, x, times, lambda x: None)[0]


def path(step: Step, keys: Keys, x: Points, times: Grid) -> Float[Array, "steps_plus_1 batch *shape"]:
    """x at all the times, of which `integrate` gives the last."""
    return jnp.concatenate([x[None], _scan(step, keys, x, times, lambda x: x)[1]])


def _scan(step: Step, keys: Keys, x: Points, times: Grid, keep: Callable[[Points], Any]) -> tuple[Points, Any]:
    """(x at the last time, keep(x) at all but the first)."""

    def body(carry: tuple[Points, Memory], interval: tuple[Array, Array, Array]) -> tuple[tuple[Points, Memory], Any]:
        i, t, t_next = interval
        full = jnp.ones(x.shape[:1], times.dtype)
        carry = step.move(fold(keys, i), *carry, t * full, t_next * full)
        return carry, keep(carry[0])

    (last, _), kept = jax.lax.scan(body, (x, step.start(x)), (jnp.arange(times.shape[0] - 1), times[:-1], times[1:]))
    return last, kept


def denoise(sde: SDE, score: ScoreFn, x: Points, t: float | Float[Array, ""]) -> Points:
    """E[x_0 | x_t = x] by Tweedie: the last move, which takes off the noise that is left at t_min."""
    times = jnp.full(x.shape[:1], t, x.dtype)
    return denoised_of_noise(sde, noise_of_score(sde, score(x, times), times), x, times)


def rescale(sde: SDE, score: ScoreFn, x: Points, t: float | Float[Array, ""]) -> Points:
    """x / alpha, the end of a decoding that is to be undone exactly: no noise was added at t_min, so none is taken off."""
    del score
    return x / expand(sde.alpha(jnp.full(x.shape[:1], t, x.dtype)), x)
