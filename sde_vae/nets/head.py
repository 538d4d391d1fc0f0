"""The correction head: a small network on the prior's features, at a fraction of the prior's cost."""

import flax.linen as nn
import jax.numpy as jnp

from sde_vae.nets.layers import Conv3x3, Images, LatentEmbedding, NoiseLevel, ResBlock, group_norm
from sde_vae.types import Keys, Latents, PerExample


class CorrectionHead(nn.Module):
    """Map features [batch, H, W, F] of x at logSNR [batch], and z [batch, latent], to [batch, H, W, outputs].

    With `keys`, one per example, dropout is on.
    """

    channels: int
    blocks: int
    outputs: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, features: Images, log_snr: PerExample, keys: Keys | None = None, *, z: Latents) -> Images:
        level = NoiseLevel(self.channels, jnp.float32)(log_snr)
        latent = LatentEmbedding(self.channels, jnp.float32)(z, None)
        h = Conv3x3(self.channels, jnp.float32)(features)
        for _ in range(self.blocks):
            h = ResBlock(self.channels, self.dropout, jnp.float32)(h, level, keys, latent)
        h = nn.silu(group_norm(h, jnp.float32)(h))
        return Conv3x3(self.outputs, jnp.float32)(h)
