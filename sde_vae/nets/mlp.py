"""A residual MLP for vectors, such as points in the plane and latent codes, and for short time series."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.nets.initialisers import lecun_normal
from sde_vae.nets.layers import Dense, LatentEmbedding, NoiseLevel
from sde_vae.types import Keys, Latents, PerExample, Points

Hidden = Float[Array, "batch hidden"]


class MLP(nn.Module):
    """Map x [batch, ...], flattened, at logSNR [batch] to [batch, features]. With `zero` the output is zero at initialisation.

    A latent z conditions every block. Where `keep` [batch] is 0, the embedding of z is zero. There is no dropout.
    """

    features: int
    hidden: int = 128
    blocks: int = 3
    zero: bool = True

    @nn.compact
    def __call__(
        self,
        x: Points,
        log_snr: PerExample,
        keys: Keys | None = None,
        z: Latents | None = None,
        keep: PerExample | None = None,
    ) -> Float[Array, "batch features"]:
        del keys  # no dropout
        h = _hidden(self.hidden, self.blocks, x, log_snr, z, keep)
        init = nn.initializers.zeros if self.zero else lecun_normal
        return Dense(self.features, kernel_init=init)(h)


class MLPFeatures(nn.Module):
    """The MLP without its last layer: an encoder's body, or applied with the parameters of an MLP, its features [batch, hidden]."""

    hidden: int = 128
    blocks: int = 3

    @nn.compact
    def __call__(self, x: Points, log_snr: PerExample, keys: Keys | None = None) -> Hidden:
        del keys  # no dropout
        return _hidden(self.hidden, self.blocks, x, log_snr)


def _hidden(
    hidden: int,
    blocks: int,
    x: Points,
    log_snr: PerExample,
    z: Latents | None = None,
    keep: PerExample | None = None,
) -> Hidden:
    """Build the layers of the calling module up to the last: residual blocks on the flattened x."""
    embedding = max(4, hidden // 4)
    level = NoiseLevel(embedding, jnp.float32)(log_snr)
    latent = None if z is None else LatentEmbedding(embedding, jnp.float32)(z, keep)
    h = Dense(hidden)(x.reshape(x.shape[0], -1))
    for _ in range(blocks):
        y = Dense(hidden)(nn.silu(h)) + Dense(hidden)(level)
        y = y if latent is None else y + Dense(hidden)(latent)
        h = h + Dense(hidden)(nn.silu(y))
    return nn.silu(h)
