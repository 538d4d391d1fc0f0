"""The helpers that keep broadcasting explicit and randomness independent of how a batch is split."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from sde_vae.types import Indices, Keys, PerExample, Points, PRNGKey


def expand(a: Shaped[Array, "batch"], like: Points) -> Shaped[Array, "batch ..."]:
    """[batch] -> [batch, 1, ..., 1] with the rank of `like`: a[i] multiplies the whole of example i."""
    return a.reshape(a.shape + (1,) * (like.ndim - 1))


def sum_per_example(x: Points) -> PerExample:
    """Sum over everything but the batch."""
    return jnp.sum(x.reshape(x.shape[0], -1), axis=-1)


def keys_of(key: PRNGKey, index: Indices) -> Keys:
    """One key per example, a function of the example's place in the global batch and of nothing else."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def fold(keys: Keys, data: int | Array) -> Keys:
    """The keys of a sub-stream: step `data` of a solver, layer `data` of a network."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, data)


def normal(keys: Keys, like: Points) -> Points:
    """Standard normal noise with the shape and dtype of `like`, example i drawn from keys[i]."""
    return jax.vmap(lambda key: jax.random.normal(key, like.shape[1:], like.dtype))(keys)
