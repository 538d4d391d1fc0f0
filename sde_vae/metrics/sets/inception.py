"""The features of the Fréchet Inception Distance (arXiv:1706.08500)."""

from functools import partial
from pathlib import Path
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sde_vae.devices import over_devices, replicate
from sde_vae.errors import BadInput
from sde_vae.metrics.networks.inception import FEATURES, SIDE, Inception
from sde_vae.metrics.networks.inception_weights import PUBLISHED, digest, fold, read_state
from sde_vae.metrics.sets.extractors import Extractor
from sde_vae.pretrained.arrays import sha256
from sde_vae.types import Params


def load_inception(path: Path) -> Extractor:
    """Return the extractor "inception" with the weights of a file in one of the formats of inception_weights.py.

    Its features are [n, 2048]. `identity` is a digest of the arrays, equal for every format. `verified` is true for the two
    published files, by their SHA-256. A conversion of them is not verified, and has their identity. Raises BadInput, which names
    the file and the array, if the file does not hold this network.
    """
    body = read_state(path)
    compiled = partial(over_devices(pooled, shared=1), replicate(fold(body)))
    return Extractor(
        name="inception",
        dim=FEATURES,
        features=compiled,
        identity=digest(body),
        file=(file := sha256(path)),
        verified=file in PUBLISHED,
    )


def pooled(params: Params, images: Array) -> Float[Array, "n 2048"]:
    """Return features [n, 2048] of uint8 images [n, height, width, 1 or 3] of any size."""
    return cast(Array, Inception().apply(params, prepare(images)))


def prepare(images: Array | np.ndarray) -> Float[Array, "n 299 299 3"]:
    """Convert uint8 images to the network's input: grey repeated, on [-1, 1], 299x299.

    The resize is bilinear with half-pixel centres and without antialiasing (torch's interpolate, align_corners=False). Another
    resize gives another distance. Images are uint8, because FID is defined for images as they are saved. Raises BadInput for
    images of another type or shape.
    """
    if images.dtype != jnp.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise BadInput(f"images: expected uint8 [n, height, width, 1 or 3], got {images.dtype} {list(images.shape)}")
    x = jnp.repeat(jnp.asarray(images), 3 // images.shape[-1], axis=-1).astype(jnp.float32) / 255
    x = jax.image.resize(x, (len(x), SIDE, SIDE, 3), method="linear", antialias=False)
    return 2 * x - 1
