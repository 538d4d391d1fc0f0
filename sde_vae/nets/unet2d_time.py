"""What UNet2D takes its time through: one module for each `time_embedding_type`, [batch] -> [batch, width].

`scales_output` says that the network's output is divided by its time, as that of a variance-exploding model is by its noise level.
"""

import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sde_vae.nets.layers import Embedding, embed_log_snr
from sde_vae.nets.unet2d_options import UNet2DOptions
from sde_vae.types import PerExample


class Sinusoids(nn.Module):
    """DDPM's sinusoids of a step, which may be fractional (arXiv:1706.03762, section 3.5); no parameters."""

    options: UNet2DOptions
    scales_output: ClassVar[bool] = False

    @nn.compact
    def __call__(self, time: PerExample) -> Embedding:
        width = self.options.block_out_channels[0]
        # In float32 and in this order, as diffusers has it: at step 1000 the last bit of a frequency is a difference of 6e-5.
        steps = np.float32(-math.log(10_000)) * np.arange(width // 2, dtype=np.float32)
        frequencies = np.exp(steps / np.float32(width // 2 - self.options.freq_shift))
        angles = time.astype(jnp.float32)[:, None] * jnp.asarray(frequencies)[None, :]
        pair = (jnp.sin(angles), jnp.cos(angles))
        waves = jnp.concatenate(pair[::-1] if self.options.flip_sin_to_cos else pair, axis=-1)
        return _padded(waves, width)


class LogSNRSinusoids(nn.Module):
    """Sinusoids of logSNR, as of the U-Net of this project; no parameters."""

    options: UNet2DOptions
    scales_output: ClassVar[bool] = False

    @nn.compact
    def __call__(self, time: PerExample) -> Embedding:
        return log_snr_rows(time, self.options.block_out_channels[0])


def log_snr_rows(log_snr: PerExample, width: int) -> Embedding:
    """Return the embedding [batch, width] of logSNR [batch]. A learned table with these rows is the same embedding, at these levels."""
    return _padded(embed_log_snr(log_snr, width), width)


class Fourier(nn.Module):
    """Sinusoids of log time at random frequencies, which are never trained (arXiv:2006.10739)."""

    options: UNet2DOptions
    scales_output: ClassVar[bool] = True

    @nn.compact
    def __call__(self, time: PerExample) -> Embedding:
        width = self.options.block_out_channels[0]
        weight = self.param("weight", nn.initializers.normal(16.0), (width,), jnp.float32)
        # diffusers multiplies in this order, too: the angles are large.
        angles = jnp.log(time.astype(jnp.float32))[:, None] * jax.lax.stop_gradient(weight)[None, :] * 2 * np.pi
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class Table(nn.Module):
    """One learned row a step. A fractional step takes the nearest row."""

    options: UNet2DOptions
    scales_output: ClassVar[bool] = False

    @nn.compact
    def __call__(self, time: PerExample) -> Embedding:
        rows, width = self.options.num_train_timesteps or 0, self.options.block_out_channels[0]
        weight = self.param("weight", nn.initializers.normal(1.0), (rows, width), jnp.float32)
        return weight[jnp.clip(jnp.round(time), 0, rows - 1).astype(jnp.int32)]


TIME_EMBEDDINGS: dict[str, type[Sinusoids | Fourier | Table | LogSNRSinusoids]] = {
    "positional": Sinusoids,
    "fourier": Fourier,
    "learned": Table,
    "log_snr": LogSNRSinusoids,
}


def _padded(waves: Float[Array, "batch _"], width: int) -> Embedding:
    """Add the zero that completes an odd width."""
    return jnp.pad(waves, ((0, 0), (0, width - waves.shape[1])))
