"""The probability-flow ODE with adaptive steps, through diffrax.

    dx / dt = f x - g^2 / 2 s                         (arXiv:2011.13456, eq. 13)

With r^2 = alpha^2 + sigma^2, tan(phi) = sigma / alpha and y = x / r it is, for every SDE, dy / dphi = v, the velocity of scores.py
(arXiv:2202.00512, appendix D). It is solved in y, which is of the data's size at every noise level, so that one tolerance means
the same all along, and in sqrt(phi), which spreads the low noise levels out, though less than logSNR does: downwards it took fewer
evaluations than t or logSNR at equal error, on Gaussians and mixtures with exact scores and on a trained prior.
"""

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.extend.core import jaxpr_as_fun
from jaxtyping import Array

from sde_vae.arrays import expand
from sde_vae.diffusion.scores import noise_of_score, velocity_of_noise
from sde_vae.diffusion.sdes import SDE
from sde_vae.solvers.step import Solver, Step, one_step
from sde_vae.types import Keys, PerExample, Points, Scalar, ScoreFn

# What is integrated: a pytree of arrays with the batch first.
State = Any
# Rate(state, t) -> its derivative, on a whole batch, each example at its own t.
Rate = Callable[[State, PerExample], State]
Tolerance = float | Scalar

# Of the first step, and of the shortest, as a part of the way: under it the solver gives up.
FIRST, SHORTEST = 1e-2, 1e-7


def ode(rtol: float = 1e-4, atol: float = 1e-4, max_steps: int = 1000) -> Solver:
    """Tsit5 from t to t_next, in either direction, with as many steps as the tolerances ask for: one interval (T, t_min) will do.

    Each example has its own steps, and so does not depend on its company; the score is evaluated on the whole batch until the
    last is done. The error of a step is at most atol + rtol |y|, the root of its mean square over an example, in the units of
    the data (y = x / r). An example is NaN if `max_steps` did not suffice, or the score was not finite: see `along`.
    """

    def solver(sde: SDE, score: ScoreFn) -> Step:
        velocity = flow(sde, score)

        def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
            del keys
            y = along(sde, velocity, x / expand(radius(sde, t), x), t, t_next, rtol, atol, max_steps)
            return expand(radius(sde, t_next), x) * y

        return one_step(move)

    return solver


def probability_flow(sde: SDE, score: ScoreFn) -> ScoreFn:
    """(x, t) -> dx / dt = f x - g^2 / 2 s."""
    return lambda x, t: expand(sde.f(t), x) * x - expand(0.5 * jnp.square(sde.g(t)), x) * score(x, t)


def flow(sde: SDE, score: ScoreFn) -> ScoreFn:
    """(y, t) -> dy / dphi = v: the same flow in y = x / r and phi."""

    def rate(y: Points, t: PerExample) -> Points:
        x = expand(radius(sde, t), y) * y
        return velocity_of_noise(sde, noise_of_score(sde, score(x, t), t), x, t)

    return rate


def radius(sde: SDE, t: PerExample) -> PerExample:
    """r = sqrt(alpha^2 + sigma^2)."""
    return jnp.hypot(sde.alpha(t), sde.sigma(t))


def angle(sde: SDE, t: PerExample) -> PerExample:
    """phi = arctan(sigma / alpha), rising with t from 0 to pi / 2."""
    return jnp.arctan2(sde.sigma(t), sde.alpha(t))


def along(
    sde: SDE,
    rate: Rate,
    start: State,
    t: PerExample,
    t_next: PerExample,
    rtol: Tolerance,
    atol: Tolerance,
    max_steps: int,
) -> State:
    """The state at t_next of d state / dphi = rate(state, t), from `start` at t; the leaf with the largest error counts.

    An example that fails (`max_steps` were not enough, or it met what is not finite, which ends it after a few steps) is NaN, and
    the others are as they would be without it. diffrax would rather raise (throw=True), but the whole batch falls then, and the
    callback it takes keeps the program out of the persistent compilation cache. Not differentiable in reverse.
    """
    begin, end = jnp.sqrt(angle(sde, t)), jnp.sqrt(angle(sde, t_next))
    first, last = jnp.minimum(t, t_next), jnp.maximum(t, t_next)

    def field(state: State, s: PerExample) -> State:
        root = begin + s * (end - begin)
        # Rounding may step over the ends.
        now = jnp.clip(sde.t_of_log_snr(-2 * jnp.log(jnp.tan(jnp.square(root)))), first, last)
        dphi = 2 * root * (end - begin)
        return jax.tree.map(lambda d: expand(dphi, d) * d, rate(state, now))

    return _solve(field, start, jnp.zeros_like(t), rtol, atol, max_steps)


def _solve(field: Rate, start: State, zeros: PerExample, rtol: Tolerance, atol: Tolerance, max_steps: int) -> State:
    """The state at s = 1 of d state / ds = field(state, s), from `start` at s = 0."""
    one, constants = _of_one(field, start, zeros)
    controller = diffrax.PIDController(
        rtol, atol, norm=_largest, pcoeff=0.3, icoeff=0.4, dtmin=SHORTEST, force_dtmin=False
    )

    def solve(i: Array, start: State) -> State:
        sound = jnp.all(jnp.stack([jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves(start)]))
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda s, state, args: one(*args, s, state)),
            diffrax.Tsit5(),
            # Plain floats: of what is an array diffrax would check the sign at run time, by a callback.
            t0=0.0,
            t1=1.0,
            dt0=FIRST,
            y0=jax.tree.map(lambda a: jnp.where(sound, a, 0), start),
            args=(constants, i),
            stepsize_controller=controller,
            adjoint=diffrax.ForwardMode(),
            max_steps=max_steps,
            throw=False,
        )
        done = sound & (solution.result == diffrax.RESULTS.successful)
        return jax.tree.map(lambda a: jnp.where(done, a[0], jnp.nan), solution.ys)

    return jax.vmap(solve)(jnp.arange(len(zeros)), start)


def _of_one(field: Rate, state: State, s: PerExample) -> tuple[Callable[..., State], list]:
    """(one, constants): one(constants, i, s, state) is the field of example i alone, and under vmap over i the field of the batch.

    A score may have closed over what belongs to the examples (a z for each), so it makes sense only on the whole batch and in its
    order. One example is therefore put in all places, and the i-th result taken; the rule for vmap puts each in its own place.
    The rule may not close over traced values, hence `constants`.
    """
    program, shapes = jax.make_jaxpr(field, return_shape=True)(state, s)
    batch, tree = len(s), jax.tree.structure(shapes)

    def of_batch(constants: list, s: PerExample, state: State) -> State:
        run = jaxpr_as_fun(program.replace(consts=constants))
        return jax.tree.unflatten(tree, run(*jax.tree.leaves((state, s))))

    def everywhere(a: Array) -> Array:
        return jnp.broadcast_to(a, (batch, *a.shape))

    @custom_vmap
    def one(constants: list, i: Array, s: Array, state: State) -> State:
        every = of_batch(constants, *jax.tree.map(everywhere, (s, state)))
        return jax.tree.map(lambda a: a[i], every)

    @one.def_vmap
    def _(size: int, batched: list, constants: list, i: Array, s: Array, state: State) -> tuple[State, State]:
        del size, i
        place = lambda is_batched, a: a if is_batched else everywhere(a)
        result = of_batch(constants, *jax.tree.map(place, tuple(batched[2:]), (s, state)))
        return result, jax.tree.map(lambda _: True, result)

    return one, program.consts


def _largest(error: State) -> Array:
    """The largest of the leaves' root mean squares."""
    return jnp.max(jnp.stack([jnp.sqrt(jnp.mean(jnp.square(a))) for a in jax.tree.leaves(error)]))
