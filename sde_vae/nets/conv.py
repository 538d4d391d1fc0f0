"""A convolution whose gradients are plain convolutions.

XLA:CPU has a fast convolution for the canonical NHWC / HWIO form only. It rewrites a gradient into that form in the entry
computation, but not inside a scan or a while loop, where a convolution's gradient is 50 to 100 times slower
(jax-ml/jax#12868). The guided decoder takes the encoder's gradient in a loop over time steps. The backward pass is therefore
written here as canonical convolutions. They are the same operation again, and hence differentiable in reverse mode to any
order. Forward mode (jvp) is not available.

Products have the precision of the context in which a convolution is called (jax.default_matmul_precision), and so have those of its
gradients, whatever the context then.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "batch height width inputs"]
Outputs = Float[Array, "batch height width outputs"]
Halved = Float[Array, "batch half_height half_width outputs"]
Kernel = Float[Array, "kh kw inputs outputs"]


# The precision of products as jax.default_matmul_precision names it; None is the device's own.
Precision = str | None


def _of_context() -> Precision:
    # JAX gives its config its attributes when it is imported.
    return jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]


def conv(x: Images, w: Kernel) -> Outputs:
    """Convolve x [batch, H, W, in] with w [kh, kw, in, out] -> [batch, H, W, out]: odd kernel, stride 1, zero padding."""
    return _conv(x, w, _of_context())


def halving_conv(x: Images, w: Kernel, first: int) -> Halved:
    """Return every second row and column of conv(x, w), from number `first` (0 or 1) on: a convolution with stride 2.

    H and W are even. With a 3x3 kernel, first = 0 is a padding of one pixel on every side, and first = 1 one of the right and the bottom.
    """
    return _halving(x, w, first, _of_context())


def _strided(x: Images, w: Kernel, first: int, precision: Precision) -> Halved:
    ph, pw = w.shape[0] // 2 - first, w.shape[1] // 2 - first
    padding = ((ph, w.shape[0] - 2 - ph), (pw, w.shape[1] - 2 - pw))
    return jax.lax.conv_general_dilated(
        x, w, window_strides=(2, 2), padding=padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=precision
    )


_halving = jax.custom_vjp(_strided, nondiff_argnums=(2, 3))


def _plain(x: Array, w: Array, padding: tuple[int, int], precision: Precision) -> Array:
    ph, pw = padding
    return jax.lax.conv_general_dilated(
        x,
        w,
        window_strides=(1, 1),
        padding=((ph, ph), (pw, pw)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=precision,
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv(x: Images, w: Kernel, precision: Precision) -> Outputs:
    return _plain(x, w, (w.shape[0] // 2, w.shape[1] // 2), precision)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _correlate(x: Images, dy: Outputs, like: Kernel, precision: Precision) -> Kernel:
    """Return the gradient of <dy, conv(x, w)> in w, for a w with the shape of `like`. It is bilinear in (x, dy)."""
    ph, pw = like.shape[0] // 2, like.shape[1] // 2
    # The batch becomes the contracted dimension, and the images of dy become the (large) kernel.
    dw = _plain(jnp.transpose(x, (3, 1, 2, 0)), jnp.transpose(dy, (1, 2, 0, 3)), (ph, pw), precision)
    return jnp.transpose(dw, (1, 2, 0, 3))


def _conv_forward(x: Images, w: Kernel, precision: Precision) -> tuple[Outputs, tuple[Images, Kernel]]:
    return _conv(x, w, precision), (x, w)


def _conv_backward(precision: Precision, saved: tuple[Images, Kernel], dy: Outputs) -> tuple[Images, Kernel]:
    x, w = saved
    return _conv(dy, _adjoint(w), precision), _correlate(x, dy, w, precision)


def _halving_forward(x: Images, w: Kernel, first: int, precision: Precision) -> tuple[Halved, tuple[Images, Kernel]]:
    return _strided(x, w, first, precision), (x, w)


def _halving_backward(
    first: int, precision: Precision, saved: tuple[Images, Kernel], dy: Halved
) -> tuple[Images, Kernel]:
    # The gradient of conv's output: that of the rows and columns kept, and zero between them.
    spread = ((first, 1 - first, 1), (first, 1 - first, 1))
    wide = jax.lax.pad(dy, jnp.zeros((), dy.dtype), ((0, 0, 0), *spread, (0, 0, 0)))
    return _conv_backward(precision, saved, wide)


def _correlate_forward(
    x: Images, dy: Outputs, like: Kernel, precision: Precision
) -> tuple[Kernel, tuple[Images, Outputs, Kernel]]:
    return _correlate(x, dy, like, precision), (x, dy, like)


def _correlate_backward(
    precision: Precision, saved: tuple[Images, Outputs, Kernel], ddw: Kernel
) -> tuple[Images, Outputs, Kernel]:
    x, dy, like = saved
    return _conv(dy, _adjoint(ddw), precision), _conv(x, ddw, precision), jnp.zeros_like(like)


def _adjoint(w: Kernel) -> Float[Array, "kh kw outputs inputs"]:
    """Return the kernel of the transposed convolution: rotated by 180 degrees, inputs and outputs exchanged."""
    return jnp.transpose(w[::-1, ::-1], (0, 1, 3, 2))


_conv.defvjp(_conv_forward, _conv_backward)
_halving.defvjp(_halving_forward, _halving_backward)
_correlate.defvjp(_correlate_forward, _correlate_backward)
