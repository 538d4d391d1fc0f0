"""Super-resolution: y is the image at a smaller size."""

import dataclasses

import jax.numpy as jnp

from sde_vae.arrays import expand
from sde_vae.methods.observation import LinearOperator, Mask
from sde_vae.types import Observed, PerExample, Points


@dataclasses.dataclass(frozen=True)
class Downscaling(LinearOperator):
    """The mean over blocks of `factor` x `factor` pixels, an antialiased resize. A A' = I / factor^2.

    `up` repeats each pixel of y over its block: factor^2 A' y.

    >>> Downscaling(2).forward(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    Array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """

    factor: int = 4

    def forward(self, x: Points, mask: Mask | None = None) -> Observed:
        del mask
        batch, height, width, channels = x.shape
        n = self.factor
        return jnp.mean(x.reshape(batch, height // n, n, width // n, n, channels), axis=(2, 4))

    def adjoint(self, y: Observed, mask: Mask | None = None) -> Points:
        del mask
        return self.up(y) / self.factor**2

    def solve(self, y: Observed, a: PerExample, b: PerExample) -> Observed:
        return y / expand(a / self.factor**2 + b, y)

    def up(self, y: Observed) -> Points:
        return jnp.repeat(jnp.repeat(y, self.factor, axis=1), self.factor, axis=2)

    def down(self, y: Points) -> Observed:
        return self.forward(y)
