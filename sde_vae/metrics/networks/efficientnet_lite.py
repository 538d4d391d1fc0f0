"""The features of EfficientNet-Lite0 (Tan & Le 2019, arXiv:1905.11946), the variant with ReLU6 and no squeeze-and-excitation.

The network is used for inference only. Each batch normalisation is folded into the convolution before it, and the network is a
plain function of arrays. Images are NHWC and kernels HWIO. Padding is TensorFlow's "SAME": with stride 2, the odd row and column
of zeros come last. Products are float32 on every device.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "batch _ _ _"]
Features = Float[Array, "batch 1280"]

BN_EPS = 1e-3
STAGES = (  # repeats, kernel, stride of the first block, expansion, channels out
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STRIDES = tuple(stride if i == 0 else 1 for repeats, _, stride, _, _ in STAGES for i in range(repeats))


class Layer(NamedTuple):
    """A convolution's kernel and bias. The kernel of a depthwise convolution is [k, k, 1, channels]."""

    w: Float[Array, "kh kw inputs outputs"]
    b: Float[Array, "outputs"]


class Block(NamedTuple):
    """An inverted residual block: 1x1 to more channels (not in the first block), depthwise, 1x1 to fewer channels."""

    expand: Layer | None
    depthwise: Layer
    project: Layer


class Weights(NamedTuple):
    """The weights of the network."""

    stem: Layer
    blocks: tuple[Block, ...]
    head: Layer


def features(weights: Weights, x: Images) -> Features:
    """Return the means over the last feature maps, [batch, 1280], of images [batch, side, side, 3] scaled as in training."""
    x = _relu6(_conv(weights.stem, x, stride=2))
    for block, stride in zip(weights.blocks, STRIDES, strict=True):
        x = _block(block, x, stride)
    return jnp.mean(_relu6(_conv(weights.head, x)), axis=(1, 2))


def depthwise(layer: Layer, x: Images, stride: int) -> Images:
    """Convolve each channel with its own k x k kernel, as a sum of shifted images.

    XLA:CPU has no fast grouped convolution. The k^2 multiply-adds of whole images are one fused loop over the channels.
    """
    k = layer.w.shape[0]
    padding = [_same(size, k, stride) for size in x.shape[1:3]]
    rows, columns = (-(-size // stride) for size in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    y = layer.b[None, None, None, :]
    for i in range(k):
        for j in range(k):
            shifted = x[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
            y = y + layer.w[i, j, 0][None, None, None, :] * shifted
    return y


def _block(block: Block, x: Images, stride: int) -> Images:
    h = x if block.expand is None else _relu6(_conv(block.expand, x))
    h = _relu6(depthwise(block.depthwise, h, stride))
    h = _conv(block.project, h)
    return x + h if h.shape == x.shape else h


def _conv(layer: Layer, x: Images, stride: int = 1) -> Images:
    y = jax.lax.conv_general_dilated(
        x,
        layer.w,
        window_strides=(stride, stride),
        padding=[_same(size, layer.w.shape[0], stride) for size in x.shape[1:3]],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )
    return y + layer.b[None, None, None, :]


def _relu6(x: Images) -> Images:
    return jnp.clip(x, 0, 6)


def _same(size: int, k: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's numbers of zeros before and after, for ceil(size / stride) outputs."""
    total = max((-(-size // stride) - 1) * stride + k - size, 0)
    return total // 2, total - total // 2
