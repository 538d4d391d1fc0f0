"""Resampling by two with a small filter, as in StyleGAN2 (arXiv:1912.04958, appendix B) and NCSN++ (arXiv:2011.13456, appendix H).

The filter is the same along both axes. It is a sum of shifted images: on a CPU a depthwise convolution is many times slower, and its
gradient in a loop slower still.
"""

import functools
import operator
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "batch _ _ _"]


def fir(x: Images, kernel: Sequence[float], pad: tuple[int, int], gain: float = 1.0, down: int = 1) -> Images:
    """Filter x [batch, H, W, C] along both axes with a kernel that is normalised to the sum `gain`, and keep every `down`-th pixel.

    `pad` zeros are added before and after each axis. A constant image keeps its value inside, times gain^2.

    >>> fir(jnp.ones((1, 4, 4, 1)), (1.0, 3.0, 3.0, 1.0), (1, 1), down=2)[0, :, 1, 0].tolist()
    [0.766, 0.766]
    """
    taps = [gain * k / sum(kernel) for k in reversed(kernel)]
    for axis in (1, 2):
        padded = jnp.pad(x, [pad if a == axis else (0, 0) for a in range(4)])
        size = (padded.shape[axis] - len(taps)) // down + 1
        shifted = [tap * _every(padded, axis, first, size, down) for first, tap in enumerate(taps)]
        x = functools.reduce(operator.add, shifted)
    return x


def spread(x: Images) -> Images:
    """Put zeros after each pixel: [batch, H, W, C] -> [batch, 2 H, 2 W, C].

    >>> spread(jnp.ones((1, 1, 2, 1)))[0, :, :, 0].tolist()
    [[1.00, 0.00, 1.00, 0.00], [0.00, 0.00, 0.00, 0.00]]
    """
    b, h, w, c = x.shape
    grid = jnp.pad(x.reshape(b, h, 1, w, 1, c), [(0, 0), (0, 0), (0, 1), (0, 0), (0, 1), (0, 0)])
    return grid.reshape(b, 2 * h, 2 * w, c)


def halve_fir(x: Images, kernel: Sequence[float]) -> Images:
    """Filter and halve: [batch, H, W, C] -> [batch, H / 2, W / 2, C]."""
    p = len(kernel) - 2
    return fir(x, kernel, ((p + 1) // 2, p // 2), down=2)


def double_fir(x: Images, kernel: Sequence[float]) -> Images:
    """Double and filter: [batch, H, W, C] -> [batch, 2 H, 2 W, C]."""
    p = len(kernel) - 2
    return fir(spread(x), kernel, ((p + 1) // 2 + 1, p // 2), gain=2.0)


def _every(x: Images, axis: int, first: int, size: int, step: int) -> Images:
    """Return `size` rows of an axis, from `first` on in steps of `step`."""
    rows = slice(first, first + step * (size - 1) + 1, step)
    return x[:, rows] if axis == 1 else x[:, :, rows]
