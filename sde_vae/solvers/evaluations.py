"""The number of function evaluations (NFE) of a solver: read from its program where it is fixed, otherwise counted at run time."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr

from sde_vae.types import PerExample, Points, ScoreFn

# The name under which an evaluation stands in a program.
EVALUATION = "evaluation_of_the_score"


def count_evaluations(run: Callable[[ScoreFn], Any], score: ScoreFn) -> int:
    """Return how often `run`, which returns arrays, evaluates the score that it receives.

    A batch counts once, whatever its size. Loops, branches taken and adaptive steps count as they run. An evaluation counts
    even if its value is not used. Nothing is computed where the number is fixed.

    >>> count_evaluations(lambda score: score(jnp.ones((1, 2)), jnp.ones(1)), lambda x, t: -x)
    1
    """
    fixed = fixed_evaluations(run)
    return _counted(run, score) if fixed is None else fixed


def fixed_evaluations(run: Callable[[ScoreFn], Any]) -> int | None:
    """Return the number of evaluations if it depends on no values, as of a solver with a fixed number of steps; otherwise None.

    `run` is traced with a score that costs nothing, and not compiled.

    >>> fixed_evaluations(lambda score: jax.lax.fori_loop(0, 3, lambda i, x: score(x, x[:, 0]), jnp.ones((1, 2))))
    3
    >>> fixed_evaluations(lambda score: jax.lax.while_loop(jnp.all, lambda x: score(x, x[:, 0]), jnp.ones((1, 2)))) is None
    True
    """

    def evaluation(x: Points, t: PerExample) -> Points:
        del t
        return jnp.zeros_like(x)

    evaluation.__name__ = EVALUATION
    return _in_program(jax.make_jaxpr(lambda: run(jax.jit(evaluation)))().jaxpr)


def _in_program(program: Jaxpr) -> int | None:
    """Return the number of evaluations in a program, or None if it depends on values."""
    total = 0
    for equation in program.eqns:
        if equation.params.get("name") == EVALUATION:
            total += 1
            continue
        inner = [_in_program(part) for part in _programs(list(equation.params.values()))]
        # A branch or a loop without evaluations may depend on anything.
        if all(n == 0 for n in inner):
            continue
        if None in inner or equation.primitive.name in ("while", "cond"):
            return None
        total += sum(n or 0 for n in inner) * (equation.params["length"] if equation.primitive.name == "scan" else 1)
    return total


def _programs(values: list[Any]) -> Iterator[Jaxpr]:
    for value in values:
        if isinstance(value, ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, Jaxpr):
            yield value
        elif isinstance(value, list | tuple):
            yield from _programs(list(value))


def _counted(run: Callable[[ScoreFn], Any], score: ScoreFn) -> int:
    """Count while running.

    The counting program calls back to Python. It is therefore compiled at every call, and the persistent compilation cache
    does not keep it: count on few examples, apart from the program that does the work.
    """
    calls: list[None] = []

    def counted(x: Points, t: PerExample) -> Points:
        jax.debug.callback(lambda: calls.append(None))
        return score(x, t)

    # A loop of one iteration makes what `run` closes over an operand. jit would write every parameter of a network into the
    # program as a constant.
    jax.lax.scan(lambda _, __: (None, run(counted)), None, length=1)
    jax.effects_barrier()
    return len(calls)
