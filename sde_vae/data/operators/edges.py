"""Edges to image: y is a drawing of the image's edges."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from sde_vae.methods.observation import Mask, Operator
from sde_vae.types import Observed, Points

# An edge between black and white has a Sobel gradient of 8 on [-1, 1]. Half of that is drawn in full.
FULL = 4.0


@dataclasses.dataclass(frozen=True)
class SobelEdges(Operator):
    """The length of the Sobel gradient of the mean over channels, on [-1, 1] with -1 where there is no edge. Not linear.

    >>> SobelEdges().forward(jnp.zeros((1, 4, 4, 3))).max().item()
    -1.0
    """

    def forward(self, x: Points, mask: Mask | None = None) -> Observed:
        del mask
        grey = jnp.mean(x, axis=-1, keepdims=True)
        padded = jnp.pad(grey, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        smooth = lambda a, axis: _shift(a, 0, axis) + 2 * _shift(a, 1, axis) + _shift(a, 2, axis)
        difference = lambda a, axis: _shift(a, 2, axis) - _shift(a, 0, axis)
        along_x, along_y = smooth(difference(padded, 2), 1), smooth(difference(padded, 1), 2)
        length = jnp.sqrt(jnp.square(along_x) + jnp.square(along_y))
        return 2 * jnp.minimum(length / FULL, 1) - 1


def _shift(a: Any, start: int, axis: int) -> Any:
    """The part of `a` from `start` on, two shorter than it."""
    index = [slice(None)] * a.ndim
    index[axis] = slice(start, start + a.shape[axis] - 2)
    return a[tuple(index)]
