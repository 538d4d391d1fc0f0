"""The type Step and the function `integrate`, shared by all solvers of the reverse SDE and of the probability-flow ODE.

A solver is a function (SDE, ScoreFn) -> Step. It takes any score (of the prior, of Bayes' rule, with guidance), and each
direction of time that its formula allows. Noise is drawn from one key per example, so that a reconstruction does not depend on
the other examples of its batch.
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

# The values that a multistep method keeps from earlier steps: a pytree of arrays, or () for a one-step method.
Memory = Any


class Step(NamedTuple):
    """One step of a solver, as two functions.

    start(x) -> memory                                             before the first step
    move(keys, x, memory, t, t_next) -> (x at t_next, memory)      t and t_next are [batch]
    """

    start: Callable[[Points], Memory]
    move: Callable[[Keys, Points, Memory, PerExample, PerExample], tuple[Points, Memory]]


Solver = Callable[[SDE, ScoreFn], Step]


def one_step(move: Callable[[Keys, Points, PerExample, PerExample], Points]) -> Step:
    """Return the Step without memory of a function move(keys, x, t, t_next) -> x at t_next.

    >>> one_step(lambda keys, x, t, t_next: x).start(jnp.zeros((3, 2)))
    ()
    """
    return Step(lambda x: (), lambda keys, x, memory, t, t_next: (move(keys, x, t, t_next), memory))


def compose(predictor: Step, corrector: Step) -> Step:
    """Return a predictor-corrector step: `predictor` moves to t_next, `corrector` stays there (arXiv:2011.13456, algorithm 1).

    >>> double = one_step(lambda keys, x, t, t_next: 2 * x)
    >>> add_one = one_step(lambda keys, x, t, t_next: x + 1)
    >>> from sde_vae.arrays import keys_of
    >>> keys = keys_of(jax.random.key(0), jnp.arange(1))
    >>> integrate(compose(double, add_one), keys, jnp.array([[1.0]]), jnp.array([1.0, 0.5, 0.0]))
    Array([[7.]], dtype=float32)
    """

    def start(x: Points) -> Memory:
        return predictor.start(x), corrector.start(x)

    def move(keys: Keys, x: Points, memory: Memory, t: PerExample, t_next: PerExample) -> tuple[Points, Memory]:
        first, second = memory
        x, first = predictor.move(fold(keys, 0), x, first, t, t_next)
        x, second = corrector.move(fold(keys, 1), x, second, t_next, t_next)
        return x, (first, second)

    return Step(start, move)


def integrate(step: Step, keys: Keys, x: Points, times: Grid) -> Points:
    """Return x at times[-1], given x at times[0]; both [batch, ...].

    With decreasing times it decodes. With increasing times, and the step of an ODE solver, it inverts.

    >>> from sde_vae.arrays import keys_of
    >>> euler = one_step(lambda keys, x, t, t_next: x + (t_next - t)[:, None] * x)
    >>> keys = keys_of(jax.random.key(0), jnp.arange(1))
    >>> integrate(euler, keys, jnp.array([[1.0]]), jnp.array([0.0, 0.5, 1.0]))
    Array([[2.25]], dtype=float32)
    """
    return _scan(step, keys, x, times, lambda x: None)[0]


def path(step: Step, keys: Keys, x: Points, times: Grid) -> Float[Array, "steps_plus_1 batch *shape"]:
    """Return x at all times: [steps + 1, batch, ...]. Its last entry is the result of `integrate`.

    >>> from sde_vae.arrays import keys_of
    >>> double = one_step(lambda keys, x, t, t_next: 2 * x)
    >>> keys = keys_of(jax.random.key(0), jnp.arange(1))
    >>> path(double, keys, jnp.array([[1.0]]), jnp.array([1.0, 0.5, 0.0]))[:, 0, 0]
    Array([1., 2., 4.], dtype=float32)
    """
    return jnp.concatenate([x[None], _scan(step, keys, x, times, lambda x: x)[1]])


def _scan(step: Step, keys: Keys, x: Points, times: Grid, keep: Callable[[Points], Any]) -> tuple[Points, Any]:
    """Return (x at the last time, keep(x) at all times but the first)."""

    def body(carry: tuple[Points, Memory], interval: tuple[Array, Array, Array]) -> tuple[tuple[Points, Memory], Any]:
        i, t, t_next = interval
        full = jnp.ones(x.shape[:1], times.dtype)
        carry = step.move(fold(keys, i), *carry, t * full, t_next * full)
        return carry, keep(carry[0])

    (last, _), kept = jax.lax.scan(body, (x, step.start(x)), (jnp.arange(times.shape[0] - 1), times[:-1], times[1:]))
    return last, kept


def denoise(sde: SDE, score: ScoreFn, x: Points, t: float | Float[Array, ""]) -> Points:
    """Return E[x_0 | x_t = x] by Tweedie's formula: the end of a decoding, which removes the noise that is left at t_min.

    >>> from sde_vae.diffusion.scores import point_mass_score
    >>> from sde_vae.diffusion.sdes import VP
    >>> denoise(VP(), point_mass_score(VP(), jnp.array([[0.5]])), jnp.array([[0.6]]), 0.01).round(3)
    Array([[0.5]], dtype=float32)
    """
    times = jnp.full(x.shape[:1], t, x.dtype)
    return denoised_of_noise(sde, noise_of_score(sde, score(x, times), times), x, times)


def clipped_denoise(sde: SDE, score: ScoreFn, x: Points, t: float | Float[Array, ""]) -> Points:
    """Return `denoise`, clipped to [-1, 1], where the data are: the end of a decoding whose steps clip too.

    >>> from sde_vae.diffusion.scores import point_mass_score
    >>> from sde_vae.diffusion.sdes import VP
    >>> clipped_denoise(VP(), point_mass_score(VP(), jnp.array([[1.5]])), jnp.array([[0.6]]), 0.01)
    Array([[1.]], dtype=float32)
    """
    return jnp.clip(denoise(sde, score, x, t), -1, 1)


def rescale(sde: SDE, score: ScoreFn, x: Points, t: float | Float[Array, ""]) -> Points:
    """Return x / alpha: the end of a decoding that inverts an inversion exactly.

    An inversion adds no noise at t_min, so none is removed. The signature is that of `denoise`; the score is not used.

    >>> from sde_vae.diffusion.sdes import VE
    >>> rescale(VE(), lambda x, t: -x, jnp.array([[0.6]]), 0.01)
    Array([[0.6]], dtype=float32)
    """
    del score
    return x / expand(sde.alpha(jnp.full(x.shape[:1], t, x.dtype)), x)
