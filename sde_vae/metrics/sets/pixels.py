"""The pixels themselves as features: for small images, of which networks that were trained on photographs have nothing to say.

A Frechet distance compares covariances, and those of n images have rank n - 1 at most: with more features than images it
says more of n than of the images. So larger images are first pooled to 8x8, 64 features a channel, fewer than one evaluates.
It then sees shapes and shades, but no detail finer than an eighth of the image; on [0, 1] its unit is that of a squared l2.
"""

import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sde_vae.errors import BadInput
from sde_vae.metrics.sets.extractors import Extractor

SIDE = 8


def load_pixels(channels: int = 1) -> Extractor:
    """The extractor "pixels": 8 * 8 * channels features.

    There is no weight file: the digest is of what is done to the images, and nothing of it could be other than known.
    """
    identity = hashlib.sha256(f"pixels/255, means over areas, {SIDE}x{SIDE}x{channels}".encode()).hexdigest()
    features = functools.partial(_features, channels)
    return Extractor("pixels", SIDE * SIDE * channels, features, identity, "", True)


def _features(channels: int, images: np.ndarray | jax.Array) -> Float[Array, "n dim"]:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != channels or min(images.shape[1:3]) < SIDE:
        raise BadInput(
            f"images: expected uint8 [n, height, width, {channels}] of at least {SIDE}x{SIDE} pixels, "
            f"got {images.dtype} {list(images.shape)}"
        )
    return _jitted(images)


@jax.jit
def _jitted(images: jax.Array) -> Float[Array, "n dim"]:
    x = images.astype(jnp.float32) / 255
    rows, columns = (_areas(side) for side in x.shape[1:3])
    pooled = jnp.einsum("nhwc,yh,xw->nyxc", x, rows, columns, precision=jax.lax.Precision.HIGHEST)
    return pooled.reshape(len(x), -1)


def _areas(side: int) -> np.ndarray:
    """[8, side]: row i takes the mean over the i-th eighth of `side` pixels, which may begin and end within a pixel."""
    edges = np.arange(SIDE + 1) * side / SIDE
    pixel = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixel[None] + 1) - np.maximum(edges[:-1, None], pixel[None])
    return (np.maximum(overlap, 0) * SIDE / side).astype(np.float32)
