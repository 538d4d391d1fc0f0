"""The number of function evaluations (NFE) of a solver, counted at run time."""

from collections.abc import Callable
from typing import Any

import jax

from sde_vae.types import PerExample, Points, ScoreFn


def count_evaluations(run: Callable[[ScoreFn], Any], score: ScoreFn) -> int:
    """Return how often `run`, which returns arrays, evaluates the score that it receives.

    A batch counts once, whatever its size. Loops, branches taken and adaptive steps count as they run. An evaluation counts
    even if its value is not used.

    The counting program calls back to Python. It is therefore compiled at every call, and the persistent compilation cache
    does not keep it: count on few examples, apart from the program that does the work.

    >>> count_evaluations(lambda score: score(jnp.ones((1, 2)), jnp.ones(1)), lambda x, t: -x)
    1
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
