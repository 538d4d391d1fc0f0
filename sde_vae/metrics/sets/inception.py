"""The features of the Fréchet Inception Distance, and the logits of the Inception Score (arXiv:1706.08500, 1606.03498)."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sde_vae.errors import BadInput
from sde_vae.metrics.networks.inception import FEATURES, SIDE, Inception
from sde_vae.metrics.networks.inception_weights import PUBLISHED, digest, fold, read_state
from sde_vae.metrics.sets.extractors import Extractor
from sde_vae.pretrained.arrays import sha256
from sde_vae.types import Params


class Head(NamedTuple):
    """The classifier on top of the features: 1008 classes.

    The Inception Score's reference code leaves the bias out of its softmax: compare with its figures at a bias of zero.
    """

    kernel: Float[Array, "2048 1008"]
    bias: Float[Array, "1008"]


def load_inception(path: Path) -> Extractor:
    """The extractor "inception" from a weight file (inception_weights.py says which): uint8 images -> features [n, 2048].

    `identity` is a digest of the arrays, the same in every format. `verified` says that the file itself is one of the two
    published ones, by its SHA-256; a conversion of them is unverified, but has their identity. Raises BadInput, which names
    the file and the array, if the file is not this network.
    """
    body, _ = read_state(path)
    params = fold(body)
    return Extractor(
        name="inception",
        dim=FEATURES,
        features=lambda images: pooled(params, images),
        identity=digest(body),
        file=(file := sha256(path)),
        verified=file in PUBLISHED,
    )


def load_head(path: Path) -> Head:
    """The classifier of the same file. Raises BadInput if the file holds none."""
    _, head = read_state(path)
    if not head:
        raise BadInput(
            f"{path}: no classifier (fc.weight, fc.bias) of 1008 classes; take {next(iter(PUBLISHED.values()))}"
        )
    return Head(jnp.asarray(head["fc.weight"].T), jnp.asarray(head["fc.bias"]))


def logits(head: Head, features: Float[Array, "n 2048"]) -> Float[Array, "n 1008"]:
    """The classifier's logits of such features."""
    return jnp.matmul(features, head.kernel, precision=jax.lax.Precision.HIGHEST) + head.bias[None, :]


@jax.jit
def pooled(params: Params, images: Array) -> Float[Array, "n 2048"]:
    """uint8 images [n, height, width, 1 or 3] of any size -> features. One compilation for each shape."""
    return jnp.asarray(Inception().apply(params, prepare(images)))


def prepare(images: Array | np.ndarray) -> Float[Array, "n 299 299 3"]:
    """uint8 images as the network is shown them: grey repeated, on [-1, 1], 299x299.

    The resize is bilinear with half-pixel centres and without antialiasing (torch's interpolate, align_corners=False). Other
    resizes give other distances. uint8, because FID's figures are of images as they would be saved. Raises BadInput for
    images of another type or shape.
    """
    if images.dtype != jnp.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise BadInput(f"images: expected uint8 [n, height, width, 1 or 3], got {images.dtype} {list(images.shape)}")
    x = jnp.repeat(jnp.asarray(images), 3 // images.shape[-1], axis=-1).astype(jnp.float32) / 255
    x = jax.image.resize(x, (len(x), SIDE, SIDE, 3), method="linear", antialias=False)
    return 2 * x - 1
