"""The Inception-v3 (arXiv:1512.00567) of the Fréchet Inception Distance (arXiv:1706.08500), for inference only.

FID is defined by the features of *one* network, TensorFlow's graph of 2015-12-05. That graph and the Inception-v3 of today's model
zoos have different weights. Its average pools leave the padding out of the average. Its last block (Mixed_7c) has a max pool where
it should average. Its head has 1008 classes. Modules have the names of the published state dict, so that a weight's name is its
place in the parameters.

Each batch normalisation is folded into its convolution, which has a kernel and a bias. All products are float32, also on
accelerators with a lower default precision.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "batch _ _ _"]  # NHWC; sizes and channels change from layer to layer

SIDE = 299
FEATURES = 2048
CLASSES = 1008
BN_EPSILON = 1e-3


class Conv(nn.Module):
    """Convolution with its folded normalisation, and ReLU."""

    features: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: Images) -> Images:
        w = self.param("kernel", nn.initializers.he_normal(), (*self.kernel, x.shape[-1], self.features), jnp.float32)
        b = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        y = jax.lax.conv_general_dilated(
            x,
            w,
            window_strides=(self.stride, self.stride),
            padding=self.padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=jax.lax.Precision.HIGHEST,
        )
        return nn.relu(y + b[None, None, None, :])


def average(x: Images) -> Images:
    """Return 3x3 means with stride 1, without the padding: means of six pixels at a border, of four in a corner."""
    return nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


def maximum(x: Images) -> Images:
    """Return 3x3 maxima with stride 1."""
    return nn.max_pool(x, (3, 3), padding="SAME")


def shrink(x: Images) -> Images:
    """Return 3x3 maxima with stride 2, without padding."""
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding="VALID")


def join(*branches: Images) -> Images:
    """Concatenate the channels of the branches."""
    return jnp.concatenate(branches, axis=-1)


class BlockA(nn.Module):
    """35x35 block with branches 1x1, 5x5, two 3x3, and an average pool with `pool` channels."""

    pool: int

    @nn.compact
    def __call__(self, x: Images) -> Images:
        one = Conv(64, name="branch1x1")(x)
        five = Conv(48, name="branch5x5_1")(x)
        five = Conv(64, (5, 5), name="branch5x5_2")(five)
        three = Conv(64, name="branch3x3dbl_1")(x)
        three = Conv(96, (3, 3), name="branch3x3dbl_2")(three)
        three = Conv(96, (3, 3), name="branch3x3dbl_3")(three)
        return join(one, five, three, Conv(self.pool, name="branch_pool")(average(x)))


class BlockB(nn.Module):
    """Block from 35x35 to 17x17."""

    @nn.compact
    def __call__(self, x: Images) -> Images:
        single = Conv(384, (3, 3), 2, "VALID", name="branch3x3")(x)
        double = Conv(64, name="branch3x3dbl_1")(x)
        double = Conv(96, (3, 3), name="branch3x3dbl_2")(double)
        double = Conv(96, (3, 3), 2, "VALID", name="branch3x3dbl_3")(double)
        return join(single, double, shrink(x))


class BlockC(nn.Module):
    """17x17 block with 7x7 convolutions as 1x7 and 7x1, with `inner` channels between them."""

    inner: int

    @nn.compact
    def __call__(self, x: Images) -> Images:
        one = Conv(192, name="branch1x1")(x)
        single = Conv(self.inner, name="branch7x7_1")(x)
        single = Conv(self.inner, (1, 7), name="branch7x7_2")(single)
        single = Conv(192, (7, 1), name="branch7x7_3")(single)
        double = Conv(self.inner, name="branch7x7dbl_1")(x)
        double = Conv(self.inner, (7, 1), name="branch7x7dbl_2")(double)
        double = Conv(self.inner, (1, 7), name="branch7x7dbl_3")(double)
        double = Conv(self.inner, (7, 1), name="branch7x7dbl_4")(double)
        double = Conv(192, (1, 7), name="branch7x7dbl_5")(double)
        return join(one, single, double, Conv(192, name="branch_pool")(average(x)))


class BlockD(nn.Module):
    """Block from 17x17 to 8x8."""

    @nn.compact
    def __call__(self, x: Images) -> Images:
        three = Conv(192, name="branch3x3_1")(x)
        three = Conv(320, (3, 3), 2, "VALID", name="branch3x3_2")(three)
        seven = Conv(192, name="branch7x7x3_1")(x)
        seven = Conv(192, (1, 7), name="branch7x7x3_2")(seven)
        seven = Conv(192, (7, 1), name="branch7x7x3_3")(seven)
        seven = Conv(192, (3, 3), 2, "VALID", name="branch7x7x3_4")(seven)
        return join(three, seven, shrink(x))


class BlockE(nn.Module):
    """8x8 block with 1x3 and 3x1 convolutions in parallel. `pool` is the pool of the last branch."""

    pool: Callable[[Images], Images]

    @nn.compact
    def __call__(self, x: Images) -> Images:
        one = Conv(320, name="branch1x1")(x)
        single = Conv(384, name="branch3x3_1")(x)
        wide, high = Conv(384, (1, 3), name="branch3x3_2a"), Conv(384, (3, 1), name="branch3x3_2b")
        single = join(wide(single), high(single))
        double = Conv(448, name="branch3x3dbl_1")(x)
        double = Conv(384, (3, 3), name="branch3x3dbl_2")(double)
        wide, high = Conv(384, (1, 3), name="branch3x3dbl_3a"), Conv(384, (3, 1), name="branch3x3dbl_3b")
        double = join(wide(double), high(double))
        return join(one, single, double, Conv(192, name="branch_pool")(self.pool(x)))


class Inception(nn.Module):
    """Map images [batch, 299, 299, 3] on [-1, 1] to features [batch, 2048], the means of the last block over its 8x8 pixels."""

    @nn.compact
    def __call__(self, x: Float[Array, "batch 299 299 3"]) -> Float[Array, "batch 2048"]:
        x = Conv(32, (3, 3), 2, "VALID", name="Conv2d_1a_3x3")(x)
        x = Conv(32, (3, 3), 1, "VALID", name="Conv2d_2a_3x3")(x)
        x = shrink(Conv(64, (3, 3), name="Conv2d_2b_3x3")(x))
        x = Conv(80, name="Conv2d_3b_1x1")(x)
        x = shrink(Conv(192, (3, 3), 1, "VALID", name="Conv2d_4a_3x3")(x))
        for letter, pool in (("b", 32), ("c", 64), ("d", 64)):
            x = BlockA(pool, name=f"Mixed_5{letter}")(x)
        x = BlockB(name="Mixed_6a")(x)
        for letter, inner in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
            x = BlockC(inner, name=f"Mixed_6{letter}")(x)
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE(average, name="Mixed_7b")(x)
        x = BlockE(maximum, name="Mixed_7c")(x)
        return jnp.mean(x, axis=(1, 2))
