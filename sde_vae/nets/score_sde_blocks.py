"""The residual blocks and the resampling of score_sde's networks, under the names of its Flax files (arXiv:2011.13456, appendix H)."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from sde_vae.nets.conv import conv
from sde_vae.nets.fir import double_fir, fir, halve_fir, spread
from sde_vae.nets.layers import Dropout, Embedding, Images, double, halve
from sde_vae.nets.norm import GroupNorm
from sde_vae.nets.pixels import add_bias, to_pixels
from sde_vae.nets.score_sde_layers import EPSILON, NIN, Activation, Conv, initial, joined
from sde_vae.types import Keys

# The taps of a resampling filter, or none of them for plain means and nearest neighbours.
Taps = tuple[float, ...]


def resampled(x: Images, octaves: int, taps: Taps) -> Images:
    """Halve (-1) or double (1) the size with a filter, or without one by means and nearest neighbours; 0 leaves it."""
    if octaves == 0:
        return x
    if taps:
        return double_fir(x, taps) if octaves > 0 else halve_fir(x, taps)
    return double(x) if octaves > 0 else halve(x)


class Downsample(nn.Module):
    """Halve the size, with a convolution to `features` channels or, without `features`, no parameters."""

    features: int
    taps: Taps

    @nn.compact
    def __call__(self, x: Images) -> Images:
        if self.taps and self.features:
            return Conv2d(self.features, self.taps, up=False)(x)
        if self.features:
            # Stride 2 after one row and one column of zeros at the far ends: the odd pixels of a convolution of stride 1.
            return Conv(self.features)(x)[:, 1::2, 1::2]
        return resampled(x, -1, self.taps)


class Upsample(nn.Module):
    """Double the size, with a convolution to `features` channels or, without `features`, no parameters."""

    features: int
    taps: Taps

    @nn.compact
    def __call__(self, x: Images) -> Images:
        if self.taps and self.features:
            return Conv2d(self.features, self.taps, up=True)(x)
        if self.features:
            return Conv(self.features)(double(x))
        return resampled(x, 1, self.taps)


class Conv2d(nn.Module):
    """A 3x3 convolution and a resampling filter as one operation, which pads once (StyleGAN2, arXiv:1912.04958, appendix B)."""

    features: int
    taps: Taps
    up: bool

    @nn.compact
    def __call__(self, x: Images) -> Images:
        w = self.param("weight", initial(), (3, 3, x.shape[-1], self.features), jnp.float32)
        b = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        p = len(self.taps) - 2
        if self.up:
            # The convolution sees two zeros beyond each end of the spread pixels: one is its own, and the last is there already.
            spread_out = jnp.pad(spread(x), [(0, 0), (1, 0), (1, 0), (0, 0)])
            y = fir(conv(spread_out, w), self.taps, ((p - 1) // 2 + 1, (p - 2) // 2 + 1), gain=2.0)
        else:
            y = conv(fir(x, self.taps, ((p + 3) // 2, (p + 2) // 2)), w)[:, 1::2, 1::2]
        return add_bias(y, b)


class Combine(nn.Module):
    """Add the image pyramid to the features, or append it as further channels, after a 1x1 convolution."""

    append: bool

    @nn.compact
    def __call__(self, pyramid: Images, h: Images) -> Images:
        pyramid = Conv(h.shape[-1], size=1)(pyramid)
        return jnp.concatenate([pyramid, h], axis=-1) if self.append else pyramid + h


class ResnetBlockDDPM(nn.Module):
    """DDPM's block: norm, act, conv; add the noise level; norm, act, dropout, conv; add the input, through a NIN to other channels."""

    features: int
    groups: Callable[[int], int]
    act: Activation
    dropout: float
    rescale: bool = False
    scale: float = 0.0

    @nn.compact
    def __call__(self, x: Images, level: Embedding | None, keys: Keys | None) -> Images:
        h = self.act(GroupNorm(self.groups(x.shape[-1]), epsilon=EPSILON)(x))
        h = convolved(self, h, level, keys)
        return joined(x if x.shape[-1] == self.features else NIN(self.features)(x), h, self.rescale)


class ResnetBlockDDPMpp(ResnetBlockDDPM):
    """DDPM's block in NCSN++: a ResnetBlockDDPM under another name."""


class ResnetBlockBigGANpp(nn.Module):
    """BigGAN's block: as DDPM's, and input and features are halved (`resample` -1) or doubled (1) after the first norm."""

    features: int
    groups: Callable[[int], int]
    act: Activation
    dropout: float
    rescale: bool = False
    scale: float = 0.0
    resample: int = 0
    taps: Taps = ()

    @nn.compact
    def __call__(self, x: Images, level: Embedding | None, keys: Keys | None) -> Images:
        h = self.act(GroupNorm(self.groups(x.shape[-1]), epsilon=EPSILON)(x))
        x, h = (resampled(y, self.resample, self.taps) for y in (x, h))
        h = convolved(self, h, level, keys)
        same = x.shape[-1] == self.features and self.resample == 0
        return joined(x if same else Conv(self.features, size=1)(x), h, self.rescale)


def convolved(
    block: ResnetBlockDDPM | ResnetBlockBigGANpp, h: Images, level: Embedding | None, keys: Keys | None
) -> Images:
    """Apply what the blocks share, within `block`: conv; add the noise level; norm, act, dropout, conv."""
    h = Conv(block.features)(h)
    if level is not None:
        h = h + to_pixels(nn.Dense(block.features, kernel_init=initial())(level), h.shape[1:3])
    h = block.act(GroupNorm(block.groups(block.features), epsilon=EPSILON)(h))
    return Conv(block.features, scale=block.scale)(Dropout(block.dropout)(h, keys))
