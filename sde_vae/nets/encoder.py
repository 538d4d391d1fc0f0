"""The time-conditioned encoder q(z | x_t, t): a body and a Gaussian head.

The encoder always computes in float32. It adds to the score its gradient in x, divided by variances as small as
exp(-log_var_bound). bfloat16 is not precise enough for that.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.nets.layers import Dense, DownPath, Images, NoiseLevel, group_norm
from sde_vae.types import Keys, PerExample, Points


class HalfUNet(nn.Module):
    """The down path of the U-Net as the encoder's body (arXiv:2304.12141, section 5).

    Maps x [batch, H, W, C] and logSNR [batch] to [batch, features]. With `keys`, one per example, dropout is on.
    """

    channels: int
    multipliers: Sequence[int]
    blocks: int = 2
    attention: Sequence[int] = ()
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Images, log_snr: PerExample, keys: Keys | None = None) -> Float[Array, "batch features"]:
        level = NoiseLevel(self.channels, jnp.float32)(log_snr)
        down = DownPath(self.channels, self.multipliers, self.blocks, self.attention, self.dropout, jnp.float32)
        h = down(x, level, keys)[-1]
        h = nn.silu(group_norm(h, jnp.float32)(h))
        return h.reshape(h.shape[0], -1)


class Encoder(nn.Module):
    """Map the features of `body` to q(z | x_t, t) with `latent` dimensions and log-variance in (-log_var_bound, log_var_bound)."""

    body: nn.Module
    latent: int
    log_var_bound: float = 8.0

    @nn.compact
    def __call__(self, x: Points, log_snr: PerExample, keys: Keys | None = None) -> DiagGaussian:
        features = self.body(x, log_snr, keys)
        # Not zero at initialisation: mean and gradient would both vanish, which is a saddle point of the loss.
        mean = Dense(self.latent, name="mean")(features)
        raw = Dense(self.latent, name="log_var")(features)
        return DiagGaussian(mean, self.log_var_bound * jnp.tanh(raw / self.log_var_bound))
