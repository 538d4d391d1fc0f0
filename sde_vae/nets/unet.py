"""DDPM's U-Net (arXiv:2006.11239, appendix B), unconditional or conditioned on a latent."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from sde_vae.nets.layers import (
    Attention,
    Conv3x3,
    DownPath,
    Embedding,
    Images,
    LatentEmbedding,
    NoiseLevel,
    ResBlock,
    double,
    group_norm,
)
from sde_vae.types import Dtype, Keys, Latents, PerExample


class UNetFeatures(nn.Module):
    """The U-Net without its last convolution.

    Maps x [batch, H, W, C] at logSNR [batch] to [batch, H, W, features] in `dtype`. H and W are divisible by
    2 ** (len(multipliers) - 1). With `keys`, one per example, dropout is on. A latent z conditions every block. Where `keep`
    [batch] is 0, the embedding of z is zero.
    """

    channels: int
    multipliers: Sequence[int]
    blocks: int = 2
    attention: Sequence[int] = ()
    dropout: float = 0.0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Images,
        log_snr: PerExample,
        keys: Keys | None = None,
        z: Latents | None = None,
        keep: PerExample | None = None,
    ) -> Images:
        level = NoiseLevel(self.channels, self.dtype)(log_snr)
        latent = None if z is None else LatentEmbedding(self.channels, self.dtype)(z, keep)
        down = DownPath(self.channels, self.multipliers, self.blocks, self.attention, self.dropout, self.dtype)
        return middle_and_up_path(self, down(x, level, keys, latent), level, keys, latent)


def middle_and_up_path(
    net: UNetFeatures, maps: list[Images], level: Embedding, keys: Keys | None, latent: Embedding | None
) -> Images:
    """Apply the middle and up path of `net` to the maps of a down path: [batch, H, W, features]. Called inside `net`."""

    def block(features: int, h: Images) -> Images:
        return ResBlock(features, net.dropout, net.dtype)(h, level, keys, latent)

    maps, h = list(maps), maps[-1]
    bottom = h.shape[-1]
    h = block(bottom, h)
    h = Attention(net.dtype)(h) if net.attention else h
    h = block(bottom, h)

    for i in reversed(range(len(net.multipliers))):
        for _ in range(net.blocks + 1):
            h = block(net.channels * net.multipliers[i], jnp.concatenate([h, maps.pop()], axis=-1))
            h = Attention(net.dtype)(h) if min(h.shape[1:3]) in net.attention else h
        if i > 0:
            h = Conv3x3(h.shape[-1], net.dtype)(double(h))
    return nn.silu(group_norm(h, net.dtype)(h))


class UNet(UNetFeatures):
    """The U-Net: `UNetFeatures` and a convolution to [batch, H, W, C] in float32. With `zero` it is zero at initialisation.

    `outputs` is the number of channels of the result, if not that of x.
    """

    zero: bool = True
    outputs: int | None = None

    @nn.compact
    def __call__(
        self,
        x: Images,
        log_snr: PerExample,
        keys: Keys | None = None,
        z: Latents | None = None,
        keep: PerExample | None = None,
    ) -> Images:
        h = super().__call__(x, log_snr, keys, z, keep)
        return Conv3x3(self.outputs or x.shape[-1], self.dtype, zero=self.zero)(h).astype(jnp.float32)
