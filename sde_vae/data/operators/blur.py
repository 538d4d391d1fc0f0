"""Deblurring: y is the image after a Gaussian blur."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import expand
from sde_vae.methods.observation import LinearOperator, Mask
from sde_vae.types import Observed, PerExample, Points


@dataclasses.dataclass(frozen=True)
class GaussianBlur(LinearOperator):
    """The convolution with a Gaussian of standard deviation `std` in pixels. The image goes on periodically beyond its edges.

    The blur then multiplies each Fourier coefficient, so that A' = A and (a A A' + b I)^-1 is exact.

    >>> GaussianBlur(1.0).forward(jnp.ones((1, 4, 4, 1))).round(3).ravel().tolist() == [1.0] * 16
    True
    """

    std: float = 1.0

    def forward(self, x: Points, mask: Mask | None = None) -> Observed:
        del mask
        return self._multiply(x, self._transfer(x))

    def adjoint(self, y: Observed, mask: Mask | None = None) -> Points:
        return self.forward(y, mask)

    def solve(self, y: Observed, a: PerExample, b: PerExample) -> Observed:
        transfer = self._transfer(y)
        return self._multiply(y, 1 / (expand(a, y) * jnp.square(transfer) + expand(b, y)))

    def _transfer(self, x: Any) -> Any:
        """The Fourier transform of the Gaussian: [1, H, W // 2 + 1, 1]."""
        height, width = x.shape[1:3]
        rows, columns = np.fft.fftfreq(height), np.fft.rfftfreq(width)
        squared = np.square(rows)[:, None] + np.square(columns)[None, :]
        return jnp.asarray(np.exp(-2 * np.square(np.pi * self.std) * squared)[None, :, :, None], x.dtype)

    def _multiply(self, x: Any, factor: Any) -> Any:
        spectrum = jnp.fft.rfft2(x, axes=(1, 2)) * factor
        return jnp.fft.irfft2(spectrum, s=x.shape[1:3], axes=(1, 2)).astype(x.dtype)
