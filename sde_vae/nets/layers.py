"""The blocks of DDPM's U-Net (arXiv:2006.11239, appendix B), shared by the U-Net and the encoder.

Activations are smooth, because ScoreVAE's training differentiates the encoder twice. Norms are GroupNorm, because BatchNorm
would couple the examples of a batch. Parameters are float32; `dtype` is the precision of the computation.
"""

import math
import zlib
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.arrays import fold
from sde_vae.diffusion.sdes import LOG_SNR_LIMIT
from sde_vae.nets.conv import conv
from sde_vae.nets.initialisers import lecun_normal
from sde_vae.nets.norm import GroupNorm
from sde_vae.nets.pixels import add_bias, affine, to_pixels
from sde_vae.types import Dtype, Keys, Latents, PerExample

Images = Float[Array, "batch _ _ _"]  # NHWC; sizes and channels change from layer to layer
Embedding = Float[Array, "batch embedding"]

# The logSNR that is mapped to 1000; its negative is mapped to 0.
LOG_SNR_SCALE = 20.0


class Dense(nn.Module):
    """Dense layer of vectors [batch, inputs], or at every pixel of images [batch, H, W, inputs]."""

    features: int
    dtype: Dtype = jnp.float32
    kernel_init: Callable[..., Array] = lecun_normal

    @nn.compact
    def __call__(self, x: Array) -> Array:
        w = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), jnp.float32).astype(self.dtype)
        b = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
        x = x.astype(self.dtype)
        return add_bias(conv(x, w[None, None]), b) if x.ndim == 4 else x @ w + b[None, :]


def embed_log_snr(log_snr: PerExample, dim: int) -> Embedding:
    """Return sinusoids of the noise level, float32 [batch, dim]; of an odd `dim`, [batch, dim - 1].

    logSNR from -20 to 20 is mapped to [0, 1000] and embedded as DDPM embeds its step, and levels beyond go on at the same rate, up to
    the limit of every SDE. A network that takes logSNR instead of t is the same network under every noise schedule.
    """
    # An SDE has no level beyond, so that no two of its levels look alike.
    level = jnp.clip(log_snr.astype(jnp.float32), -LOG_SNR_LIMIT, LOG_SNR_LIMIT)
    level = 1000.0 * (level + LOG_SNR_SCALE) / (2 * LOG_SNR_SCALE)
    frequencies = jnp.exp(-math.log(10_000.0) * jnp.arange(dim // 2, dtype=jnp.float32) / (dim // 2 - 1))
    angles = level[:, None] * frequencies[None, :]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class NoiseLevel(nn.Module):
    """Map logSNR [batch] to the embedding that every block takes: sinusoids through two dense layers."""

    channels: int
    dtype: Dtype

    @nn.compact
    def __call__(self, log_snr: PerExample) -> Embedding:
        h = embed_log_snr(log_snr, self.channels)
        h = nn.silu(Dense(4 * self.channels, dtype=self.dtype)(h))
        return nn.silu(Dense(4 * self.channels, dtype=self.dtype)(h))


class LatentEmbedding(nn.Module):
    """Map z [batch, latent] to the embedding that every block of a conditional network takes; zero where `keep` [batch] is 0."""

    channels: int
    dtype: Dtype

    @nn.compact
    def __call__(self, z: Latents, keep: PerExample | None) -> Embedding:
        h = nn.silu(Dense(4 * self.channels, dtype=self.dtype)(z))
        h = nn.silu(Dense(4 * self.channels, dtype=self.dtype)(h))
        return h if keep is None else keep[:, None] * h


class Conv3x3(nn.Module):
    """3x3 convolution that keeps the size. `zero` initialises it at zero, so that a residual block starts as the identity."""

    features: int
    dtype: Dtype
    zero: bool = False

    @nn.compact
    def __call__(self, x: Images) -> Images:
        init = nn.initializers.zeros if self.zero else lecun_normal
        w = self.param("kernel", init, (3, 3, x.shape[-1], self.features), jnp.float32)
        b = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return add_bias(conv(x.astype(self.dtype), w.astype(self.dtype)), b.astype(self.dtype))


def group_count(channels: int) -> int:
    """Return the number of groups of a GroupNorm: the largest divisor of `channels` of at most 32 with four channels a group or more.

    Four, because a norm of one channel alone would remove its mean from every image. From 128 channels on these are DDPM's 32 groups,
    where 32 divides the channels. Below 8 channels there is one group.

    >>> [group_count(channels) for channels in (7, 32, 128, 144, 384)]
    [1, 8, 32, 24, 32]
    """
    return next(n for n in range(max(1, min(32, channels // 4)), 0, -1) if channels % n == 0)


def group_norm(x: Array, dtype: Dtype) -> GroupNorm:
    """Return GroupNorm over the channels of x [..., channels], in `group_count` groups."""
    return GroupNorm(num_groups=group_count(x.shape[-1]), dtype=dtype)


class Dropout(nn.Module):
    """Dropout with one key per example, so that the mask does not depend on how a batch is split. Off without keys."""

    rate: float

    @nn.compact
    def __call__(self, x: Images, keys: Keys | None) -> Images:
        if keys is None or self.rate == 0:
            return x
        layer = zlib.crc32("/".join(self.path).encode())
        keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - self.rate, x.shape[1:]))(fold(keys, layer))
        return jnp.where(keep, x / (1 - self.rate), jnp.zeros_like(x))


class ResBlock(nn.Module):
    """Residual block: norm, silu, conv; add the noise level; norm, silu, dropout, conv; add the input.

    A latent scales and shifts the output of the second norm (adaptive group norm; Dhariwal & Nichol 2021, arXiv:2105.05233;
    DiffAE, arXiv:2111.15640, eq. 7).
    """

    features: int
    dropout: float
    dtype: Dtype

    @nn.compact
    def __call__(
        self, x: Images, level: Embedding | None, keys: Keys | None, latent: Embedding | None = None
    ) -> Images:
        h = Conv3x3(self.features, self.dtype)(nn.silu(group_norm(x, self.dtype)(x)))
        if level is not None:
            h = h + to_pixels(Dense(self.features, dtype=self.dtype)(level), h.shape[1:3])
        h = group_norm(h, self.dtype)(h)
        if latent is not None:
            by = Dense(2 * self.features, dtype=self.dtype, name="latent")(latent)
            scale, shift = jnp.split(by, 2, axis=-1)
            h = affine(h, jnp.zeros_like(scale), 1 + scale, shift)
        h = Dropout(self.dropout)(nn.silu(h), keys)
        h = Conv3x3(self.features, self.dtype, zero=True)(h)
        if x.shape[-1] != self.features:
            x = Dense(self.features, dtype=self.dtype)(x)
        return x + h


class Attention(nn.Module):
    """Residual self-attention over the pixels, with one head and a softmax in float32."""

    dtype: Dtype

    @nn.compact
    def __call__(self, x: Images) -> Images:
        b, h, w, c = x.shape
        y = group_norm(x, self.dtype)(x)
        q, k, v = (Dense(c, dtype=self.dtype, name=name)(y).reshape(b, h * w, c) for name in ("query", "key", "value"))
        logits = jnp.einsum("bic,bjc->bij", q, k).astype(jnp.float32) / math.sqrt(c)
        y = jnp.einsum("bij,bjc->bic", nn.softmax(logits).astype(self.dtype), v).reshape(b, h, w, c)
        return x + Dense(c, dtype=self.dtype, kernel_init=nn.initializers.zeros, name="out")(y)


def halve(x: Images) -> Images:
    """Halve the size by 2x2 means: [batch, H, W, C] -> [batch, H / 2, W / 2, C]."""
    b, h, w, c = x.shape
    return jnp.mean(x.reshape(b, h // 2, 2, w // 2, 2, c), axis=(2, 4))


def double(x: Images) -> Images:
    """Double the size by nearest neighbours: [batch, H, W, C] -> [batch, 2 H, 2 W, C]."""
    b, h, w, c = x.shape
    grid = jnp.broadcast_to(x[:, :, None, :, None, :], (b, h, 2, w, 2, c))
    return grid.reshape(b, 2 * h, 2 * w, c)


class DownPath(nn.Module):
    """The down path of the U-Net: returns all its feature maps, in the order of their computation.

    Between resolutions the maps are halved by a 2x2 mean and then convolved. The receptive field is that of DDPM's convolution
    with stride 2, without its aliasing. `attention` lists the image sizes (the shorter side) at which there is
    self-attention.
    """

    channels: int
    multipliers: Sequence[int]
    blocks: int
    attention: Sequence[int]
    dropout: float
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Images, level: Embedding, keys: Keys | None, latent: Embedding | None = None) -> list[Images]:
        # In float32 always: at small t the noise in x is below bfloat16's rounding of x.
        maps = [Conv3x3(self.channels, jnp.float32)(x).astype(self.dtype)]
        for i, multiplier in enumerate(self.multipliers):
            if i > 0:
                maps.append(Conv3x3(maps[-1].shape[-1], self.dtype)(halve(maps[-1])))
            for _ in range(self.blocks):
                h = ResBlock(self.channels * multiplier, self.dropout, self.dtype)(maps[-1], level, keys, latent)
                maps.append(Attention(self.dtype)(h) if min(h.shape[1:3]) in self.attention else h)
        return maps
