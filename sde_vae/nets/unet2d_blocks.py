"""The blocks of UNet2D: those of diffusers' UNet2DModel 0.42, with its names, so that its parameters are these by name.

Every module takes the options of the whole network. Parameters are float32; `dtype` is the precision of the computation.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from sde_vae.nets.conv import conv, halving_conv
from sde_vae.nets.initialisers import lecun_normal
from sde_vae.nets.layers import Conv3x3, Dense, Dropout, Embedding, Images, double
from sde_vae.nets.norm import GroupNorm
from sde_vae.nets.pixels import add_bias, affine, to_pixels
from sde_vae.nets.unet2d_options import UNet2DOptions
from sde_vae.types import Dtype, Keys

ACTIVATIONS = {
    "silu": nn.silu,
    "swish": nn.silu,
    "mish": lambda x: x * jnp.tanh(jax.nn.softplus(x)),
    "gelu": lambda x: nn.gelu(x, approximate=False),
    "relu": nn.relu,
}


def norm(options: UNet2DOptions, dtype: Dtype, name: str, groups: int | None = None) -> GroupNorm:
    """Return a GroupNorm of `groups` groups, or of norm_num_groups."""
    return GroupNorm(groups or options.norm_num_groups, epsilon=options.norm_eps, dtype=dtype, name=name)


class Conv1x1(nn.Module):
    """1x1 convolution."""

    features: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Images) -> Images:
        w = self.param("kernel", lecun_normal, (1, 1, x.shape[-1], self.features), jnp.float32)
        b = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return add_bias(conv(x.astype(self.dtype), w.astype(self.dtype)), b.astype(self.dtype))


class HalvingConv(nn.Module):
    """3x3 convolution with stride 2. `padding` 1 pads every side by one pixel; 0 pads the right and the bottom only."""

    padding: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Images) -> Images:
        w = self.param("kernel", lecun_normal, (3, 3, x.shape[-1], x.shape[-1]), jnp.float32)
        b = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        y = halving_conv(x.astype(self.dtype), w.astype(self.dtype), 1 - self.padding)
        return add_bias(y, b.astype(self.dtype))


class Downsampler(nn.Module):
    """Halve the size by a convolution."""

    options: UNet2DOptions
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Images) -> Images:
        return HalvingConv(self.options.downsample_padding, self.dtype, name="conv")(x)


class Upsampler(nn.Module):
    """Double the size by nearest neighbours, then convolve."""

    dtype: Dtype

    @nn.compact
    def __call__(self, x: Images) -> Images:
        return Conv3x3(x.shape[-1], self.dtype, name="conv")(double(x))


class Residual(nn.Module):
    """Residual block: norm, activation, conv; add the time, or scale and shift by it; norm, activation, dropout, conv; add the input.

    `resample` changes the size of both branches, before the first convolution. The sum is divided by `divisor`.
    """

    options: UNet2DOptions
    features: int
    dtype: Dtype
    resample: Callable[[Images], Images] = lambda x: x
    divisor: float = 1.0

    @nn.compact
    def __call__(self, x: Images, time: Embedding, keys: Keys | None) -> Images:
        activation = ACTIVATIONS[self.options.act_fn]
        h = self.resample(activation(norm(self.options, self.dtype, "norm1")(x)))
        x = self.resample(x)
        h = Conv3x3(self.features, self.dtype, name="conv1")(h)
        scaled = self.options.resnet_time_scale_shift == "scale_shift"
        width = 2 * self.features if scaled else self.features
        by = Dense(width, dtype=self.dtype, name="time_emb_proj")(activation(time))
        second = norm(self.options, self.dtype, "norm2")
        if scaled:
            scale, shift = jnp.split(by, 2, axis=-1)
            h = affine(second(h), jnp.zeros_like(scale), 1 + scale, shift)
        else:
            h = second(h + to_pixels(by, h.shape[1:3]))
        h = Dropout(self.options.dropout, name="dropout")(activation(h), keys)
        h = Conv3x3(self.features, self.dtype, zero=True, name="conv2")(h)
        if x.shape[-1] != self.features:
            x = Conv1x1(self.features, self.dtype, name="conv_shortcut")(x)
        return (x + h) / self.divisor


class SelfAttention(nn.Module):
    """Residual self-attention over the pixels, with heads of attention_head_dim channels (of all, if null); softmax in float32.

    `groups` is None for an attention without a norm. The sum is divided by `divisor`.
    """

    options: UNet2DOptions
    groups: int | None
    dtype: Dtype
    divisor: float = 1.0

    @nn.compact
    def __call__(self, x: Images) -> Images:
        b, h, w, c = x.shape
        each = self.options.attention_head_dim or c
        heads = c // each
        y = norm(self.options, self.dtype, "group_norm", self.groups)(x) if self.groups else x.astype(self.dtype)

        def projected(name: str) -> Array:
            return Dense(heads * each, dtype=self.dtype, name=name)(y).reshape(b, h * w, heads, each)

        q, k, v = projected("to_q"), projected("to_k"), projected("to_v")
        logits = jnp.einsum("bihc,bjhc->bhij", q, k).astype(jnp.float32) / math.sqrt(each)
        y = jnp.einsum("bhij,bjhc->bihc", nn.softmax(logits).astype(self.dtype), v).reshape(b, h, w, heads * each)
        y = Dense(c, dtype=self.dtype, kernel_init=nn.initializers.zeros, name="to_out_0")(y)
        return (x + y) / self.divisor
