"""Helpers for explicit broadcasting, and for randomness that does not depend on how a batch is split."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from sde_vae.types import Indices, Keys, PerExample, Points, PRNGKey


def expand(a: Shaped[Array, "batch"], like: Points) -> Shaped[Array, "batch ..."]:
    """Reshape [batch] to [batch, 1, ..., 1] with the rank of `like`, so that a[i] multiplies all of example i.

    >>> expand(jnp.array([1.0, 2.0]), jnp.zeros((2, 8, 8, 3))).shape
    (2, 1, 1, 1)
    """
    return a.reshape(a.shape + (1,) * (like.ndim - 1))


def sum_per_example(x: Points) -> PerExample:
    """Sum over all dimensions but the batch: [batch, ...] -> [batch].

    >>> sum_per_example(jnp.ones((2, 3, 4)))
    Array([12., 12.], dtype=float32)
    """
    return jnp.sum(x.reshape(x.shape[0], -1), axis=-1)


def keys_of(key: PRNGKey, index: Indices) -> Keys:
    """Return one key per example, which depends on `key` and on the example's place in the global batch only."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def fold(keys: Keys, data: int | Array) -> Keys:
    """Return the keys of a sub-stream, such as step `data` of a solver or layer `data` of a network."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, data)


def normal(keys: Keys, like: Points) -> Points:
    """Draw standard normal noise with the shape and dtype of `like`; example i is drawn from keys[i]."""
    return jax.vmap(lambda key: jax.random.normal(key, like.shape[1:], like.dtype))(keys)
