"""A solver of an affine score makes a Gaussian chain, of which everything is known without Monte Carlo.

Each step is y' = A y + b + C xi, xi ~ N(0, I): y is x and whatever points of data space the solver remembers. The coefficients
are read off the step itself, by moving the origin and the unit vectors with one key, and the origin again with others.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import fold, keys_of, normal


class Chain(NamedTuple):
    A: np.ndarray  # [steps, D, D]; x is the first d of D
    b: np.ndarray  # [steps, D]
    C: np.ndarray  # [steps, D, d]

    def law(self):
        """(A [d, d], b [d], Q [d, d]): x at the end, given x at the start, is N(A x + b, Q)."""
        D, d = self.C.shape[1:]
        A, b, Q = np.eye(D), np.zeros(D), np.zeros((D, D))
        for step, shift, noise in zip(*self, strict=True):
            A, b, Q = step @ A, step @ b + shift, step @ Q @ step.T + noise @ noise.T
        return A[:d, :d], b[:d], Q[:d, :d]

    def moments(self, mean, cov):
        """(mean, covariance) of x at the end, from those at the start."""
        A, b, Q = self.law()
        return A @ mean + b, A @ cov @ A.T + Q

    def then(self, other):
        """Step i of this chain, then step i of the other: a predictor and its corrector."""
        return Chain(
            *(np.stack(both, axis=1).reshape(-1, *both[0].shape[1:]) for both in zip(self, other, strict=True))
        )


def own(keys, like):
    """The noise of a step that draws it from its keys as they are."""
    return normal(keys, like)


def first_move(keys, like):
    """The noise of `langevin`'s first move."""
    return normal(fold(keys, 0), like)


def chains(step, d, grids, noise=own, at_next=False):
    """The Chain of a Step along each of several grids, all in one compilation. at_next: a corrector, which stays at t_next."""
    intervals = [np.stack([g[:-1], g[1:], np.arange(len(g) - 1) == 0], axis=1) for g in map(np.asarray, grids)]
    table = np.concatenate(intervals)
    if at_next:
        table[:, 0] = table[:, 1]
    keys = keys_of(jax.random.key(0), jnp.arange(1 + d))
    xi = np.asarray(noise(keys, jnp.zeros((1 + d, d))))
    y = np.asarray(_moved(step, d, keys, jnp.asarray(table)))  # [intervals, 1 + D + d, D]
    D = y.shape[-1]
    C = np.linalg.solve(xi[1:] - xi[0], y[:, 1 + D :] - y[:, :1]).swapaxes(1, 2)
    whole = (y[:, 1 : 1 + D] - y[:, :1]).swapaxes(1, 2), y[:, 0] - C @ xi[0], C
    ends = np.cumsum([len(i) for i in intervals])[:-1]
    return [Chain(*parts) for parts in zip(*(np.split(a, ends) for a in whole), strict=True)]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _moved(step, d, keys, table):
    """Where each interval takes the origin, the unit vectors, and the origin again once for each direction of the noise."""
    points = [leaf.ndim > 1 for leaf in jax.tree.leaves(step.start(jnp.zeros((1, d))))]
    D = d * (1 + sum(points))
    x, *remembered = jnp.split(jnp.concatenate([jnp.zeros((1, D)), jnp.eye(D), jnp.zeros((d, D))]), D // d, axis=1)
    keys = jnp.concatenate([jnp.broadcast_to(keys[:1], 1 + D), keys[1:]])
    full = jnp.ones(1 + D + d)

    def body(memory, interval):
        t, t_next, first = interval
        memory = jax.tree.map(lambda new, old: jnp.where(first > 0, new, old), step.start(x), memory)
        rest = iter(remembered)
        probed = [next(rest) if p else leaf for p, leaf in zip(points, jax.tree.leaves(memory), strict=True)]
        probed = jax.tree.unflatten(jax.tree.structure(memory), probed)
        moved, memory = step.move(keys, x, probed, t * full, t_next * full)
        after = [leaf for p, leaf in zip(points, jax.tree.leaves(memory), strict=True) if p]
        return memory, jnp.concatenate([moved, *after], axis=1)

    return jax.lax.scan(body, step.start(x), table)[1]
