"""The pixels themselves as features, for small images, on which networks trained on photographs are not informative.

A Frechet distance compares covariances, which have rank n - 1 at most for n images. With more features than images, it depends
more on n than on the images. Larger images are therefore first pooled to 8x8, to 64 features a channel, fewer than the images of
an evaluation. Details finer than an eighth of the image have no influence. On [0, 1] the unit is that of a squared l2.
"""

import hashlib
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sde_vae.devices import over_devices
from sde_vae.errors import BadInput
from sde_vae.metrics.sets.extractors import Extractor

SIDE = 8


def load_pixels(channels: int = 1) -> Extractor:
    """Return the extractor "pixels", with 8 * 8 * channels features.

    There is no weight file. The identity is a digest of the pooling, and the extractor counts as verified.
    """
    identity = hashlib.sha256(f"pixels/255, means over areas, {SIDE}x{SIDE}x{channels}".encode()).hexdigest()
    features = partial(_features, over_devices(_pooled), channels)
    return Extractor("pixels", SIDE * SIDE * channels, features, identity, "", True)


def _features(compiled: Callable, channels: int, images: np.ndarray | jax.Array) -> Float[Array, "n dim"]:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != channels or min(images.shape[1:3]) < SIDE:
        raise BadInput(
            f"images: expected uint8 [n, height, width, {channels}] of at least {SIDE}x{SIDE} pixels, "
            f"got {images.dtype} {list(images.shape)}"
        )
    return compiled(images)


def _pooled(images: jax.Array) -> Float[Array, "n dim"]:
    x = images.astype(jnp.float32) / 255
    rows, columns = (_averages(side) for side in x.shape[1:3])
    pooled = jnp.einsum("nhwc,yh,xw->nyxc", x, rows, columns, precision=jax.lax.Precision.HIGHEST)
    return pooled.reshape(len(x), -1)


def _averages(side: int) -> np.ndarray:
    """Return a matrix [8, side] whose row i averages the i-th eighth of `side` pixels, which may begin or end inside a pixel."""
    edges = np.arange(SIDE + 1) * side / SIDE
    pixel = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixel[None] + 1) - np.maximum(edges[:-1, None], pixel[None])
    return (np.maximum(overlap, 0) * SIDE / side).astype(np.float32)
