"""UNet2D: the U-Net of diffusers' UNet2DModel (0.42), so that a model of that library can be loaded, trained further and written.

It also is the network of guided-diffusion (arXiv:2105.05233), whose blocks are ResnetDownsampleBlock2D and AttnDownBlock2D with
downsample_type "resnet" and resnet_time_scale_shift "scale_shift".
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.arrays import expand
from sde_vae.nets.layers import Conv3x3, Dense, Embedding, Images, double, halve
from sde_vae.nets.unet2d_blocks import Downsampler, Residual, SelfAttention, Upsampler, norm
from sde_vae.nets.unet2d_options import DOWN_BLOCKS, UP_BLOCKS, UNet2DOptions
from sde_vae.nets.unet2d_time import TIME_EMBEDDINGS
from sde_vae.types import Dtype, Keys, PerExample


class TimeEmbedding(nn.Module):
    """Map the embedding of the time to that which every block takes: two dense layers."""

    options: UNet2DOptions
    dtype: Dtype

    @nn.compact
    def __call__(self, embedding: Float[Array, "batch _"]) -> Embedding:
        width = self.options.time_embedding_dim or 4 * self.options.block_out_channels[0]
        h = nn.silu(Dense(width, dtype=self.dtype, name="linear_1")(embedding))
        return Dense(width, dtype=self.dtype, name="linear_2")(h)


class DownBlock(nn.Module):
    """The blocks of one size on the way down; returns the map after each, and that of half the size unless `last`."""

    options: UNet2DOptions
    level: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Images, time: Embedding, keys: Keys | None) -> list[Images]:
        o, features = self.options, self.options.block_out_channels[self.level]
        attention, kind = DOWN_BLOCKS[o.down_block_types[self.level]]
        maps = []
        for i in range(o.layers_per_block):
            x = Residual(o, features, self.dtype, name=f"resnets_{i}")(x, time, keys)
            x = SelfAttention(o, o.norm_num_groups, self.dtype, name=f"attentions_{i}")(x) if attention else x
            maps.append(x)
        if self.level == len(o.block_out_channels) - 1:
            return maps
        if (kind or o.downsample_type) == "resnet":
            return [*maps, Residual(o, features, self.dtype, halve, name="downsamplers_0")(x, time, keys)]
        return [*maps, Downsampler(o, self.dtype, name="downsamplers_0")(x)]


class MidBlock(nn.Module):
    """Two residual blocks with self-attention between them, at the smallest size."""

    options: UNet2DOptions
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Images, time: Embedding, keys: Keys | None) -> Images:
        o, features, divisor = (
            self.options,
            self.options.block_out_channels[-1],
            float(self.options.mid_block_scale_factor),
        )
        # diffusers' rule: with scale_shift this attention has a norm only where its groups are given.
        groups = o.attn_norm_num_groups or (o.norm_num_groups if o.resnet_time_scale_shift == "default" else None)
        x = Residual(o, features, self.dtype, divisor=divisor, name="resnets_0")(x, time, keys)
        if o.add_attention:
            x = SelfAttention(o, groups, self.dtype, divisor, name="attentions_0")(x)
        return Residual(o, features, self.dtype, divisor=divisor, name="resnets_1")(x, time, keys)


class UpBlock(nn.Module):
    """The blocks of one size on the way up. Each takes one map from the way down, the last of `maps` first, and removes it there."""

    options: UNet2DOptions
    level: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Images, maps: list[Images], time: Embedding, keys: Keys | None) -> Images:
        o, features = self.options, self.options.block_out_channels[::-1][self.level]
        attention, kind = UP_BLOCKS[o.up_block_types[self.level]]
        for i in range(o.layers_per_block + 1):
            x = jnp.concatenate([x, maps.pop()], axis=-1)
            x = Residual(o, features, self.dtype, name=f"resnets_{i}")(x, time, keys)
            x = SelfAttention(o, o.norm_num_groups, self.dtype, name=f"attentions_{i}")(x) if attention else x
        if self.level == len(o.block_out_channels) - 1:
            return x
        if (kind or o.upsample_type) == "resnet":
            return Residual(o, features, self.dtype, double, name="upsamplers_0")(x, time, keys)
        return Upsampler(self.dtype, name="upsamplers_0")(x)


class UNet2D(nn.Module):
    """The U-Net of diffusers' UNet2DModel.

    Maps x [batch, H, W, in_channels] at `time` [batch] to [batch, H, W, out_channels] in float32. `time` is a step of the schedule for
    the time embeddings "positional", "fourier" and "learned", where it may be fractional (a learned table has the nearest row), and logSNR
    for "log_snr". With `keys`, one per example, dropout is on. The last convolution is zero at initialisation, and every residual branch.

    Raises ValueError unless 2 ** (len(block_out_channels) - 1) divides H and W.
    """

    options: UNet2DOptions
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Images, time: PerExample, keys: Keys | None = None) -> Images:
        o = self.options
        if any(side % 2 ** (len(o.block_out_channels) - 1) for side in x.shape[1:3]):
            raise ValueError(
                f"images of {x.shape[1:3]}, expected sides that 2 divides {len(o.block_out_channels) - 1} times"
            )
        embed = TIME_EMBEDDINGS[o.time_embedding_type](o, name="time_proj")
        level = TimeEmbedding(o, self.dtype, name="time_embedding")(embed(time))

        x = 2 * x - 1 if o.center_input_sample else x
        # In float32 always: at small t the noise in x is below bfloat16's rounding of x.
        h = Conv3x3(o.block_out_channels[0], jnp.float32, name="conv_in")(x).astype(self.dtype)
        maps = [h]
        for i in range(len(o.block_out_channels)):
            maps += DownBlock(o, i, self.dtype, name=f"down_blocks_{i}")(maps[-1], level, keys)
        h = maps[-1]
        if o.mid_block_type is not None:
            h = MidBlock(o, self.dtype, name="mid_block")(h, level, keys)
        for i in range(len(o.block_out_channels)):
            h = UpBlock(o, i, self.dtype, name=f"up_blocks_{i}")(h, maps, level, keys)
        h = nn.silu(norm(o, self.dtype, "conv_norm_out")(h))
        h = Conv3x3(o.out_channels, self.dtype, zero=True, name="conv_out")(h).astype(jnp.float32)
        return h / expand(time.astype(jnp.float32), h) if embed.scales_output else h
