"""A convolution whose gradients are plain convolutions.

XLA:CPU gives its fast convolution only to the canonical NHWC / HWIO form, and rewrites a gradient into that form only in the
entry computation: inside a scan or a while loop a convolution's gradient is 50 to 100 times slower (jax-ml/jax#12868). The
guided decoder takes the encoder's gradient in a loop over time steps. So the backward pass is written here as canonical
convolutions, which are the same operation again and hence differentiable in reverse to any order. Forward-mode
differentiation (jvp) is not available through it.

conv(x [batch, H, W, in], w [kh, kw, in, out]) -> [batch, H, W, out]: odd kernels, stride 1, zero padding ("SAME").
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "batch height width inputs"]
Outputs = Float[Array, "batch height width outputs"]
Kernel = Float[Array, "kh kw inputs outputs"]


@jax.custom_vjp
def conv(x: Images, w: Kernel) -> Outputs:
    """Odd kernel, stride 1, zero padding that keeps the size."""
    return _plain(x, w, (w.shape[0] // 2, w.shape[1] // 2))


def _plain(x: Array, w: Array, padding: tuple[int, int]) -> Array:
    ph, pw = padding
    return jax.lax.conv_general_dilated(
        x, w, window_strides=(1, 1), padding=((ph, ph), (pw, pw)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@jax.custom_vjp
def _correlate(x: Images, dy: Outputs, like: Kernel) -> Kernel:
    """The gradient of <dy, conv(x, w)> in w, for w of the shape of `like`: bilinear in (x, dy)."""
    ph, pw = like.shape[0] // 2, like.shape[1] // 2
    # The batch becomes the contracted dimension, the images of dy the (large) kernel.
    dw = _plain(jnp.transpose(x, (3, 1, 2, 0)), jnp.transpose(dy, (1, 2, 0, 3)), (ph, pw))
    return jnp.transpose(dw, (1, 2, 0, 3))


def _conv_forward(x: Images, w: Kernel) -> tuple[Outputs, tuple[Images, Kernel]]:
    return conv(x, w), (x, w)


def _conv_backward(saved: tuple[Images, Kernel], dy: Outputs) -> tuple[Images, Kernel]:
    x, w = saved
    return conv(dy, _adjoint(w)), _correlate(x, dy, w)


def _correlate_forward(x: Images, dy: Outputs, like: Kernel) -> tuple[Kernel, tuple[Images, Outputs, Kernel]]:
    return _correlate(x, dy, like), (x, dy, like)


def _correlate_backward(saved: tuple[Images, Outputs, Kernel], ddw: Kernel) -> tuple[Images, Outputs, Kernel]:
    x, dy, like = saved
    return conv(dy, _adjoint(ddw)), conv(x, ddw), jnp.zeros_like(like)


def _adjoint(w: Kernel) -> Float[Array, "kh kw outputs inputs"]:
    """The kernel of the transposed convolution: turned by half a turn, inputs and outputs exchanged."""
    return jnp.transpose(w[::-1, ::-1], (0, 1, 3, 2))


conv.defvjp(_conv_forward, _conv_backward)
_correlate.defvjp(_correlate_forward, _correlate_backward)
