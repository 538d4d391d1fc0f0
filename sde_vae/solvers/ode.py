"""The probability-flow ODE with adaptive steps, through diffrax.

    dx / dt = f x - g^2 / 2 s                         (arXiv:2011.13456, eq. 13)

With r^2 = alpha^2 + sigma^2, tan(phi) = sigma / alpha and y = x / r, the ODE of every SDE is dy / dphi = v, with the velocity v of
scores.py (arXiv:2202.00512, appendix D). It is solved in y, which has the size of the data at every noise level, so that one
tolerance fits all levels. The independent variable is sqrt(phi). It spreads the low noise levels out, though less than logSNR
does. From T to t_min it took fewer evaluations than t or logSNR at equal error, on Gaussians and mixtures with exact scores and
on a trained prior.
"""

from collections.abc import Callable
from typing import Any

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

# The state that is integrated: a pytree of arrays with the batch first.
State = Any
# Rate(state, t) -> d state / dphi of a whole batch, with t [batch].
Rate = Callable[[State, PerExample], State]
Tolerance = float | Scalar

# Lengths of the first step and of the shortest, as parts of the interval. The solver fails at a shorter step.
FIRST_STEP, SHORTEST_STEP = 1e-2, 1e-7


def ode(rtol: float = 1e-4, atol: float = 1e-4, max_steps: int = 1000) -> Solver:
    """Return the solver of the probability-flow ODE by Tsit5 with adaptive steps, in either direction of time.

    The grid needs one interval only, such as (T, t_min). The number of steps follows from the tolerances. Each example has its
    own steps and does not depend on the rest of its batch. The score is evaluated on the whole batch until the last example
    is done. The error of a step, a root mean square over an example, is at most atol + rtol |y| in units of the data (y = x / r).

    An example is NaN if it needs more than `max_steps`, or if the score is not finite: see `integrate_adaptive`.

    >>> from sde_vae.arrays import keys_of
    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.solvers.step import integrate
    >>> step, keys = ode()(VP(), lambda x, t: -x), keys_of(jax.random.key(0), jnp.arange(1))
    >>> integrate(step, keys, jnp.array([[2.0]]), jnp.array([1.0, 0.001])).round(2)
    Array([[2.]], dtype=float32)
    """

    def solver(sde: SDE, score: ScoreFn) -> Step:
        velocity = flow(sde, score)

        def move(keys: Keys, x: Points, t: PerExample, t_next: PerExample) -> Points:
            del keys
            y = integrate_adaptive(sde, velocity, x / expand(radius(sde, t), x), t, t_next, rtol, atol, max_steps)
            return expand(radius(sde, t_next), x) * y

        return one_step(move)

    return solver


def flow(sde: SDE, score: ScoreFn) -> ScoreFn:
    """Return the function (y, t) -> dy / dphi = v: the probability flow in the coordinates y = x / r and phi.

    The score -x of N(0, I) has velocity 0 under VP, where x_t has the same distribution at every t.

    >>> from sde_vae.diffusion.sdes import VP
    >>> flow(VP(), lambda x, t: -x)(jnp.array([[2.0]]), jnp.array([0.1])).round(4) + 0.0
    Array([[0.000]], dtype=float32)
    """

    def rate(y: Points, t: PerExample) -> Points:
        x = expand(radius(sde, t), y) * y
        return velocity_of_noise(sde, noise_of_score(sde, score(x, t), t), x, t)

    return rate


def radius(sde: SDE, t: PerExample) -> PerExample:
    """Return r = sqrt(alpha^2 + sigma^2): [batch].

    >>> from sde_vae.diffusion.sdes import VE
    >>> radius(VE(sigma_min=0.75), jnp.array([0.0]))
    Array([1.25], dtype=float32)
    """
    return jnp.hypot(sde.alpha(t), sde.sigma(t))


def angle(sde: SDE, t: PerExample) -> PerExample:
    """Return phi = arctan(sigma / alpha), which rises with t from 0 to pi / 2: [batch].

    >>> from sde_vae.diffusion.sdes import VE
    >>> angle(VE(sigma_min=1.0), jnp.array([0.0])).round(4)
    Array([0.7854], dtype=float32)
    """
    return jnp.arctan2(sde.sigma(t), sde.alpha(t))


def integrate_adaptive(
    sde: SDE,
    rate: Rate,
    start: State,
    t: PerExample,
    t_next: PerExample,
    rtol: Tolerance,
    atol: Tolerance,
    max_steps: int,
) -> State:
    """Return the state at t_next of d state / dphi = rate(state, t), from `start` at t. The leaf with the largest error counts.

    An example fails if it needs more than `max_steps` or meets a value that is not finite. It is then NaN, and the other
    examples are as they would be without it. diffrax can raise instead (throw=True), but then the whole batch fails, and its
    callback keeps the program out of the persistent compilation cache. The result is not differentiable in reverse mode.

    >>> from sde_vae.diffusion.sdes import VE
    >>> sde, t, t_next = VE(sigma_min=1.0), jnp.array([0.0]), jnp.array([0.5])
    >>> y = integrate_adaptive(sde, lambda y, t: jnp.ones_like(y), jnp.zeros((1, 1)), t, t_next, 1e-4, 1e-4, 100)
    >>> (y[:, 0] - (angle(sde, t_next) - angle(sde, t))).round(3) + 0.0
    Array([0.000], dtype=float32)
    """
    begin, end = jnp.sqrt(angle(sde, t)), jnp.sqrt(angle(sde, t_next))
    first, last = jnp.minimum(t, t_next), jnp.maximum(t, t_next)

    def field(state: State, s: PerExample) -> State:
        root = begin + s * (end - begin)
        # Rounding may overshoot the ends.
        now = jnp.clip(sde.t_of_log_snr(-2 * jnp.log(jnp.tan(jnp.square(root)))), first, last)
        dphi = 2 * root * (end - begin)
        return jax.tree.map(lambda d: expand(dphi, d) * d, rate(state, now))

    return _solve(field, start, jnp.zeros_like(t), rtol, atol, max_steps)


def _solve(field: Rate, start: State, zeros: PerExample, rtol: Tolerance, atol: Tolerance, max_steps: int) -> State:
    """Return the state at s = 1 of d state / ds = field(state, s), from `start` at s = 0."""
    # Imported late, as only this solver and the ODE's likelihood need it.
    import diffrax

    single, constants = _single_example(field, start, zeros)
    controller = diffrax.PIDController(
        rtol, atol, norm=_largest, pcoeff=0.3, icoeff=0.4, dtmin=SHORTEST_STEP, force_dtmin=False
    )

    def solve(i: Array, start: State) -> State:
        finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves(start)]))
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda s, state, args: single(*args, s, state)),
            diffrax.Tsit5(),
            # Plain floats: diffrax checks the sign of an array at run time, by a callback.
            t0=0.0,
            t1=1.0,
            dt0=FIRST_STEP,
            y0=jax.tree.map(lambda a: jnp.where(finite, a, 0), start),
            args=(constants, i),
            stepsize_controller=controller,
            adjoint=diffrax.ForwardMode(),
            max_steps=max_steps,
            throw=False,
        )
        done = finite & (solution.result == diffrax.RESULTS.successful)
        return jax.tree.map(lambda a: jnp.where(done, a[0], jnp.nan), solution.ys)

    return jax.vmap(solve)(jnp.arange(len(zeros)), start)


def _single_example(field: Rate, state: State, s: PerExample) -> tuple[Callable[..., State], list]:
    """Return (single, constants): single(constants, i, s, state) is the field of example i.

    A score may close over values of the examples, such as a z for each. It is then defined only on the whole batch in its
    order. `single` therefore repeats one example over the batch and takes the i-th result. Its rule for vmap over i evaluates
    the field once, with each example in its own place. The rule may not close over traced values: they are `constants`.
    """
    program, shapes = jax.make_jaxpr(field, return_shape=True)(state, s)
    batch, tree = len(s), jax.tree.structure(shapes)

    def batch_field(constants: list, s: PerExample, state: State) -> State:
        run = jaxpr_as_fun(program.replace(consts=constants))
        return jax.tree.unflatten(tree, run(*jax.tree.leaves((state, s))))

    def repeat(a: Array) -> Array:
        return jnp.broadcast_to(a, (batch, *a.shape))

    @custom_vmap
    def single(constants: list, i: Array, s: Array, state: State) -> State:
        results = batch_field(constants, *jax.tree.map(repeat, (s, state)))
        return jax.tree.map(lambda a: a[i], results)

    @single.def_vmap
    def _(size: int, batched: list, constants: list, i: Array, s: Array, state: State) -> tuple[State, State]:
        del size, i
        place = lambda is_batched, a: a if is_batched else repeat(a)
        result = batch_field(constants, *jax.tree.map(place, tuple(batched[2:]), (s, state)))
        return result, jax.tree.map(lambda _: True, result)

    return single, program.consts


def _largest(error: State) -> Array:
    """Return the largest root mean square of a leaf."""
    return jnp.max(jnp.stack([jnp.sqrt(jnp.mean(jnp.square(a))) for a in jax.tree.leaves(error)]))
