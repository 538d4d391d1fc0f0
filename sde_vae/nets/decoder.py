"""The decoder of a VAE, without a noise level: the up path of the U-Net without skip connections, or for vectors an MLP."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.nets.layers import Attention, Conv3x3, Dense, ResBlock, double, group_norm
from sde_vae.types import Latents


class Decoder(nn.Module):
    """Map z [batch, latent] to p(x_0 | z), a Gaussian over images [batch, *shape] with shape = (H, W, C).

    The log-variance is one number for all pixels, `log_var`. With `learn_log_var` it is learnt from that start, in
    (-log_var_bound, log_var_bound) (sigma-VAE, arXiv:2006.13202).
    """

    channels: int
    multipliers: Sequence[int]
    blocks: int
    attention: Sequence[int]
    shape: tuple[int, int, int]
    log_var: float
    learn_log_var: bool
    log_var_bound: float = 8.0

    @nn.compact
    def __call__(self, z: Latents) -> DiagGaussian:
        height, width, outputs = self.shape
        halvings, bottom = len(self.multipliers) - 1, self.channels * self.multipliers[-1]
        smallest = (height >> halvings, width >> halvings, bottom)
        h = Dense(smallest[0] * smallest[1] * bottom)(z).reshape(-1, *smallest)
        h = ResBlock(bottom, 0.0, jnp.float32)(h, None, None)
        h = Attention(jnp.float32)(h) if self.attention else h
        h = ResBlock(bottom, 0.0, jnp.float32)(h, None, None)
        for i in reversed(range(len(self.multipliers))):
            for _ in range(self.blocks + 1):
                h = ResBlock(self.channels * self.multipliers[i], 0.0, jnp.float32)(h, None, None)
                h = Attention(jnp.float32)(h) if min(h.shape[1:3]) in self.attention else h
            if i > 0:
                h = Conv3x3(h.shape[-1], jnp.float32)(double(h))
        # Not zero at initialisation: the encoder would then have no gradient from the reconstruction.
        mean = Conv3x3(outputs, jnp.float32)(nn.silu(group_norm(h, jnp.float32)(h)))
        return DiagGaussian(mean, jnp.broadcast_to(log_variance(self, mean.ndim), mean.shape))


class MLPDecoder(nn.Module):
    """Map z [batch, latent] to p(x_0 | z), a Gaussian over [batch, *shape] with one log-variance for all dimensions.

    The log-variance is that of `Decoder`.
    """

    hidden: int
    blocks: int
    shape: Sequence[int]
    log_var: float
    learn_log_var: bool
    log_var_bound: float = 8.0

    @nn.compact
    def __call__(self, z: Latents) -> DiagGaussian:
        h = Dense(self.hidden)(z)
        for _ in range(self.blocks):
            h = h + Dense(self.hidden)(nn.silu(Dense(self.hidden)(nn.silu(h))))
        # Not zero at initialisation: the encoder would then have no gradient from the reconstruction.
        mean = Dense(math.prod(self.shape))(nn.silu(h)).reshape(-1, *self.shape)
        return DiagGaussian(mean, jnp.broadcast_to(log_variance(self, mean.ndim), mean.shape))


def log_variance(decoder: Decoder | MLPDecoder, ndim: int) -> jnp.ndarray:
    """Return the log-variance of a decoder as an array [1, ..., 1] of so many axes: `log_var`, or a parameter that starts there."""
    start, bound = jnp.full((1,) * ndim, decoder.log_var), decoder.log_var_bound
    if not decoder.learn_log_var:
        return start
    raw = decoder.param("log_var", lambda key: bound * jnp.arctanh(start / bound))
    return bound * jnp.tanh(raw / bound)
