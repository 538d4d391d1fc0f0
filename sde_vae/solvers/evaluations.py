"""How often a score is evaluated: counted while it happens."""

from collections.abc import Callable
from typing import Any

import jax

from sde_vae.types import PerExample, Points, ScoreFn


def count_evaluations(run: Callable[[ScoreFn], Any], score: ScoreFn) -> int:
    """How often `run`, which returns arrays, evaluates the score that it is given.

    A batch counts once, whatever its size; loops, branches that are taken and adaptive steps count as they run. It is the
    evaluations that count, not the code: a score whose value is thrown away is one too.

    The program that counts calls back to Python, hence is compiled anew each time and not kept in the persistent
    compilation cache: run it on few examples, apart from the program that does the work.
    """
    calls: list[None] = []

    def counted(x: Points, t: PerExample) -> Points:
        jax.debug.callback(lambda: calls.append(None))
        return score(x, t)

    # Compiled as a loop of one turn: what `run` closes over is then an operand, while jit would write every parameter of a
    # network into the program as a constant.
    jax.lax.scan(lambda _, __: (None, run(counted)), None, length=1)
    jax.effects_barrier()
    return len(calls)
