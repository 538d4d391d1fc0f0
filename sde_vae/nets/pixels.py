"""Sums over the pixels of images, and the operations whose gradients are such sums.

XLA:CPU fuses a plain sum over pixels with all elementwise operations before it, computes these again for every such sum, and
reads memory in strides: in the gradient of a U-Net this took as long as its convolutions. Sums are therefore written here in the
forms that it computes fast, and the gradients of biases and norms with them. The operations are differentiable in reverse
mode to any order. Forward mode (jvp) is not available.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, "batch height width channels"]
PerChannel = Float[Array, "batch channels"]
Sums = tuple[PerChannel, PerChannel]


def _plain(x: Images) -> PerChannel:
    return jnp.sum(x, axis=(1, 2))


def _as_product(x: Images) -> PerChannel:
    b, h, w, c = x.shape
    # No operation is fused with the factors of a product.
    y = jax.lax.dot_general(
        jnp.ones((b, 1, h * w), x.dtype),
        x.reshape(b, h * w, c),
        (((2,), (1,)), ((0,), (0,))),
        precision="highest",
        preferred_element_type=_of_sum(x),
    )
    return y[:, 0].astype(x.dtype)


def _in_one_pass(x: Images, y: Images) -> Sums:
    b, h, w, c = x.shape
    # Rows are as long as they can be for the inner loop.
    rows = [a.astype(_of_sum(x)).reshape(b, h, w * c) for a in (x, y)]
    add = lambda p, q: (p[0] + q[0], p[1] + q[1])
    columns = jax.lax.reduce(rows, [np.zeros((), _of_sum(x))] * 2, add, (1,))
    sum_x, sum_y = (jnp.sum(s.reshape(b, w, c), axis=1).astype(x.dtype) for s in columns)
    return sum_x, sum_y


def _of_sum(x: Images) -> np.dtype:
    return jnp.promote_types(x.dtype, jnp.float32)


@jax.custom_vjp
def pixel_sums(x: Images) -> PerChannel:
    """Return the sum over the pixels of each image and channel: [batch, H, W, C] -> [batch, C]."""
    return jax.lax.platform_dependent(x, cpu=_as_product, default=_plain)


@jax.custom_vjp
def pixel_sums_of_two(x: Images, y: Images) -> Sums:
    """Return (pixel_sums(x), pixel_sums(y)), for x and y of one shape that are computed from the same arrays."""
    return jax.lax.platform_dependent(x, y, cpu=_in_one_pass, default=lambda x, y: (_plain(x), _plain(y)))


def to_pixels(v: PerChannel, size: tuple[int, ...]) -> Images:
    """Repeat v [batch, C] at every pixel of images of the given height and width: [batch, H, W, C]."""
    return _to_pixels(v, size)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _to_pixels(v: PerChannel, size: tuple[int, ...]) -> Images:
    return jnp.broadcast_to(v[:, None, None, :], (v.shape[0], *size, v.shape[1]))


pixel_sums.defvjp(lambda x: (pixel_sums(x), x.shape[1:3]), lambda size, ds: (to_pixels(ds, size),))
pixel_sums_of_two.defvjp(
    lambda x, y: (pixel_sums_of_two(x, y), x.shape[1:3]),
    lambda size, ds: (to_pixels(ds[0], size), to_pixels(ds[1], size)),
)
_to_pixels.defvjp(lambda v, size: (_to_pixels(v, size), None), lambda size, _, dx: (pixel_sums(dx),))


@jax.custom_vjp
def add_bias(x: Images, b: Float[Array, " channels"]) -> Images:
    """Add b [C] at every pixel of x [batch, H, W, C]."""
    return x + b[None, None, None, :]


add_bias.defvjp(lambda x, b: (add_bias(x, b), None), lambda _, dy: (dy, jnp.sum(pixel_sums(dy), axis=0)))


@jax.custom_vjp
def affine(x: Images, centre: PerChannel, scale: PerChannel, shift: PerChannel) -> Images:
    """Return (x - centre) scale + shift for x [batch, H, W, C] and, of each image and channel, [batch, C]."""
    size = x.shape[1:3]
    return (x - to_pixels(centre, size)) * to_pixels(scale, size) + to_pixels(shift, size)


def _affine_forward(
    x: Images, centre: PerChannel, scale: PerChannel, shift: PerChannel
) -> tuple[Images, tuple[Images, PerChannel, PerChannel]]:
    return affine(x, centre, scale, shift), (x, centre, scale)


def _affine_backward(
    saved: tuple[Images, PerChannel, PerChannel], dy: Images
) -> tuple[Images, PerChannel, PerChannel, PerChannel]:
    x, centre, scale = saved
    size = x.shape[1:3]
    dshift, dscale = pixel_sums_of_two(dy, dy * (x - to_pixels(centre, size)))
    return dy * to_pixels(scale, size), -scale * dshift, dscale, dshift


affine.defvjp(_affine_forward, _affine_backward)
