"""PDAE's network (arXiv:2212.12990, section 4): the U-Net of a frozen prior, with a second middle and up path that sees z."""

import flax.linen as nn
import jax.numpy as jnp

from sde_vae.nets.layers import Conv3x3, DownPath, Images, LatentEmbedding, NoiseLevel
from sde_vae.nets.unet import UNetFeatures, middle_and_up_path
from sde_vae.types import Keys, Latents, PerExample

# The submodules that have the names and shapes of the prior's U-Net, and take its parameters.
OF_PRIOR = ("NoiseLevel_0", "DownPath_0")


class ShiftUNet(UNetFeatures):
    """A U-Net whose middle and up path alone are conditioned on z. The output is zero at initialisation.

    Maps x [batch, H, W, C] at logSNR [batch], and z [batch, latent], to [batch, H, W, C] in float32. The embedding of the noise
    level and the down path do not see z, and never drop out: given the parameters of a U-Net with the same fields, they compute
    its feature maps. With `keys`, one per example, dropout is on in the other path.
    """

    @nn.compact
    def __call__(self, x: Images, log_snr: PerExample, keys: Keys | None = None, *, z: Latents) -> Images:
        level = NoiseLevel(self.channels, self.dtype)(log_snr)
        maps = DownPath(self.channels, self.multipliers, self.blocks, self.attention, 0.0, self.dtype)(x, level, None)
        latent = LatentEmbedding(self.channels, self.dtype)(z, None)
        h = middle_and_up_path(self, maps, level, keys, latent)
        return Conv3x3(x.shape[-1], self.dtype, zero=True)(h).astype(jnp.float32)
