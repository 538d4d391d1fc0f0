"""DDPM's U-Net (arXiv:2006.11239, appendix B)."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from sde_vae.nets.layers import Attention, Conv3x3, DownPath, Images, NoiseLevel, ResBlock, double, group_norm
from sde_vae.types import Dtype, Keys, PerExample


class UNet(nn.Module):
    """x [batch, H, W, C] at logSNR [batch] -> [batch, H, W, C] in float32, zero at initialisation.

    H and W are divisible by 2 ** (len(multipliers) - 1). `keys`, one per example, switch dropout on.
    """

    channels: int
    multipliers: Sequence[int]
    blocks: int = 2
    attention: Sequence[int] = ()
    dropout: float = 0.0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Images, log_snr: PerExample, keys: Keys | None = None) -> Images:
        level = NoiseLevel(self.channels, self.dtype)(log_snr)
        maps = DownPath(self.channels, self.multipliers, self.blocks, self.attention, self.dropout, self.dtype)(
            x, level, keys
        )

        h = maps[-1]
        bottom = h.shape[-1]
        h = ResBlock(bottom, self.dropout, self.dtype)(h, level, keys)
        h = Attention(self.dtype)(h) if self.attention else h
        h = ResBlock(bottom, self.dropout, self.dtype)(h, level, keys)

        for i in reversed(range(len(self.multipliers))):
            for _ in range(self.blocks + 1):
                h = jnp.concatenate([h, maps.pop()], axis=-1)
                h = ResBlock(self.channels * self.multipliers[i], self.dropout, self.dtype)(h, level, keys)
                h = Attention(self.dtype)(h) if h.shape[1] in self.attention else h
            if i > 0:
                h = Conv3x3(h.shape[-1], self.dtype)(double(h))

        h = nn.silu(group_norm(h, self.dtype)(h))
        return Conv3x3(x.shape[-1], self.dtype, zero=True)(h).astype(jnp.float32)
