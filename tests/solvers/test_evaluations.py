"""Evaluations of a score are counted as they happen."""

import jax
import jax.numpy as jnp
import pytest

from sde_vae.solvers.evaluations import count_evaluations

X, T = jnp.ones((2, 3)), jnp.ones(2)


def halve(x, t):
    return 0.5 * x


def until(bound):
    """As often as it takes for x to come under the bound."""
    return lambda score: jax.lax.while_loop(lambda x: jnp.max(x) > bound, lambda x: score(x, T), X)


RUNS = {
    "none": (lambda score: X, 0),
    "once": (lambda score: score(X, T), 1),
    "its value unused": (lambda score: (score(X, T), X)[1], 1),
    "twice the same": (lambda score: score(X, T) + score(X, T), 2),
    "jit": (lambda score: jax.jit(score)(jax.jit(score)(X, T), T), 2),
    "scan": (lambda score: jax.lax.scan(lambda x, _: (score(x, T), None), X, None, length=7)[0], 7),
    "nested loops": (
        lambda score: jax.lax.fori_loop(0, 3, lambda _, x: jax.lax.fori_loop(0, 4, lambda _, x: score(x, T), x), X),
        12,
    ),
    # 2^-5 < 0.04 <= 2^-4
    "while": (until(0.04), 5),
    "a branch taken": (lambda score: jax.lax.cond(X[0, 0] > 0, lambda: score(X, T), lambda: X), 1),
    "a branch not taken": (lambda score: jax.lax.cond(X[0, 0] < 0, lambda: score(X, T), lambda: X), 0),
    # The examples of a batch side by side are one evaluation.
    "vmap": (lambda score: jax.vmap(lambda x, t: score(x[None], t[None])[0])(X, T), 1),
    "its gradient": (lambda score: jax.grad(lambda x: jnp.sum(score(x, T)))(X), 1),
}


@pytest.mark.parametrize("name", RUNS)
def test_what_runs_is_counted(name):
    run, expected = RUNS[name]
    assert count_evaluations(run, halve) == expected
    assert count_evaluations(run, halve) == expected
