"""Colourisation: y is the image in grey."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import expand
from sde_vae.methods.observation import LinearOperator, Mask
from sde_vae.types import Observed, PerExample, Points

# The luma of ITU-R BT.601, as Pillow's grey.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclasses.dataclass(frozen=True)
class ToGrey(LinearOperator):
    """The luma of a colour image, one channel. A A' = |weights|^2 I.

    >>> ToGrey().forward(jnp.ones((1, 1, 1, 3))).round(3).tolist()
    [[[[1.0]]]]
    """

    def forward(self, x: Points, mask: Mask | None = None) -> Observed:
        del mask
        return jnp.sum(x * self._weights(x), axis=-1, keepdims=True)

    def adjoint(self, y: Observed, mask: Mask | None = None) -> Points:
        del mask
        return y * self._weights(y)

    def solve(self, y: Observed, a: PerExample, b: PerExample) -> Observed:
        return y / expand(a * float(LUMA @ LUMA) + b, y)

    def _weights(self, like: Any) -> Any:
        return jnp.asarray(LUMA, like.dtype)[None, None, None]
