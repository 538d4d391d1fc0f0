"""A residual MLP for vectors, such as points in the plane and latent codes."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.nets.initialisers import lecun_normal
from sde_vae.nets.layers import Dense, NoiseLevel
from sde_vae.types import Keys, PerExample

Vectors = Float[Array, "batch dim"]


class MLP(nn.Module):
    """Map x [batch, dim] at logSNR [batch] to [batch, features]. With `zero` the output is zero at initialisation."""

    features: int
    hidden: int = 128
    blocks: int = 3
    zero: bool = True

    @nn.compact
    def __call__(self, x: Vectors, log_snr: PerExample, keys: Keys | None = None) -> Float[Array, "batch features"]:
        del keys  # no dropout
        level = NoiseLevel(self.hidden // 4, jnp.float32)(log_snr)
        h = Dense(self.hidden)(x)
        for _ in range(self.blocks):
            y = Dense(self.hidden)(nn.silu(h)) + Dense(self.hidden)(level)
            h = h + Dense(self.hidden)(nn.silu(y))
        init = nn.initializers.zeros if self.zero else lecun_normal
        return Dense(self.features, kernel_init=init)(nn.silu(h))
