"""A convolution whose gradients are plain convolutions.

XLA:CPU has a fast convolution for the canonical NHWC / HWIO form only. It rewrites a gradient into that form in the entry
computation, but not inside a scan or a while loop, where a convolution's gradient is 50 to 100 times slower
(jax-ml/jax#12868). The guided decoder takes the encoder's gradient in a loop over time steps. The backward pass is therefore
written here as canonical convolutions. They are the same operation again, and hence differentiable in reverse mode to any
order. Forward mode (jvp) is not available.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "batch height width inputs"]
Outputs = Float[Array, "batch height width outputs"]
Halved = Float[Array, "batch half_height half_width outputs"]
Kernel = Float[Array, "kh kw inputs outputs"]


@jax.custom_vjp
def conv(x: Images, w: Kernel) -> Outputs:
    """Convolve x [batch, H, W, in] with w [kh, kw, in, out] -> [batch, H, W, out]: odd kernel, stride 1, zero padding."""
    return _plain(x, w, (w.shape[0] // 2, w.shape[1] // 2))


def halving_conv(x: Images, w: Kernel, first: int) -> Halved:
    """Return every second row and column of conv(x, w), from number `first` (0 or 1) on: a convolution with stride 2.

    H and W are even. With a 3x3 kernel, first = 0 is a padding of one pixel on every side, and first = 1 one of the right and the bottom.
    """
    return _halving(x, w, first)


def _strided(x: Images, w: Kernel, first: int) -> Halved:
    ph, pw = w.shape[0] // 2 - first, w.shape[1] // 2 - first
    padding = ((ph, w.shape[0] - 2 - ph), (pw, w.shape[1] - 2 - pw))
    return jax.lax.conv_general_dilated(
        x, w, window_strides=(2, 2), padding=padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


_halving = jax.custom_vjp(_strided, nondiff_argnums=(2,))


def _plain(x: Array, w: Array, padding: tuple[int, int]) -> Array:
    ph, pw = padding
    return jax.lax.conv_general_dilated(
        x, w, window_strides=(1, 1), padding=((ph, ph), (pw, pw)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@jax.custom_vjp
def _correlate(x: Images, dy: Outputs, like: Kernel) -> Kernel:
    """Return the gradient of <dy, conv(x, w)> in w, for a w with the shape of `like`. It is bilinear in (x, dy)."""
    ph, pw = like.shape[0] // 2, like.shape[1] // 2
    # The batch becomes the contracted dimension, and the images of dy become the (large) kernel.
    dw = _plain(jnp.transpose(x, (3, 1, 2, 0)), jnp.transpose(dy, (1, 2, 0, 3)), (ph, pw))
    return jnp.transpose(dw, (1, 2, 0, 3))


def _conv_forward(x: Images, w: Kernel) -> tuple[Outputs, tuple[Images, Kernel]]:
    return conv(x, w), (x, w)


def _conv_backward(saved: tuple[Images, Kernel], dy: Outputs) -> tuple[Images, Kernel]:
    x, w = saved
    return conv(dy, _adjoint(w)), _correlate(x, dy, w)


def _halving_forward(x: Images, w: Kernel, first: int) -> tuple[Halved, tuple[Images, Kernel]]:
    return _strided(x, w, first), (x, w)


def _halving_backward(first: int, saved: tuple[Images, Kernel], dy: Halved) -> tuple[Images, Kernel]:
    # The gradient of conv's output: that of the rows and columns kept, and zero between them.
    spread = ((first, 1 - first, 1), (first, 1 - first, 1))
    return _conv_backward(saved, jax.lax.pad(dy, jnp.zeros((), dy.dtype), ((0, 0, 0), *spread, (0, 0, 0))))


def _correlate_forward(x: Images, dy: Outputs, like: Kernel) -> tuple[Kernel, tuple[Images, Outputs, Kernel]]:
    return _correlate(x, dy, like), (x, dy, like)


def _correlate_backward(saved: tuple[Images, Outputs, Kernel], ddw: Kernel) -> tuple[Images, Outputs, Kernel]:
    x, dy, like = saved
    return conv(dy, _adjoint(ddw)), conv(x, ddw), jnp.zeros_like(like)


def _adjoint(w: Kernel) -> Float[Array, "kh kw outputs inputs"]:
    """Return the kernel of the transposed convolution: rotated by 180 degrees, inputs and outputs exchanged."""
    return jnp.transpose(w[::-1, ::-1], (0, 1, 3, 2))


conv.defvjp(_conv_forward, _conv_backward)
_halving.defvjp(_halving_forward, _halving_backward)
_correlate.defvjp(_correlate_forward, _correlate_backward)
