"""Gradient accumulation: the mean over a batch, taken in parts one after another, in the memory of one part."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from sde_vae.types import Batch

Tree = TypeVar("Tree")


def mean_over_parts(function: Callable[[Batch], Tree], batch: Batch, parts: int) -> Tree:
    """Return the mean of function(part) over `parts` parts of a batch, of as many rows each.

    Where function(batch) is a mean over the rows, as gradients and metrics are, and draws its randomness from (key, index), this is
    function(batch) up to rounding. Memory holds the activations of one part. `parts` divides the number
    of rows.

    >>> batch = Batch(x=jnp.arange(6.0), index=jnp.arange(6))
    >>> float(mean_over_parts(lambda part: jnp.mean(part.x**2), batch, 3)), float(jnp.mean(batch.x**2))
    (9.166667, 9.166667)
    """
    if parts == 1:
        return function(batch)
    # The step is one for all rows; what a method does not use is None.
    rows = {name: value for name, value in batch._asdict().items() if name != "step" and value is not None}
    split = jax.tree.map(lambda a: a.reshape(parts, len(a) // parts, *a.shape[1:]), rows)
    of_part = lambda part: function(batch._replace(**part))

    def add(total: Tree, part: dict) -> tuple[Tree, None]:
        return jax.tree.map(jnp.add, total, of_part(part)), None

    zeros = jax.tree.map(
        lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(of_part, {n: a[0] for n, a in split.items()})
    )
    total, _ = jax.lax.scan(add, zeros, split)
    return jax.tree.map(lambda a: a / parts, total)
