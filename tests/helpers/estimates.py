"""Monte Carlo estimates of the denoising loss."""

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.diffusion import losses
from sde_vae.types import Batch
from tests.helpers.oracles import LinearGaussian

# Draws of an estimate.
N = 40_000


def world():
    return LinearGaussian.random(jax.random.key(0))


def estimate(sde, score, times, weight, x_0, seed=3):
    """(mean, standard error) of the denoising loss over x_0 [n, ...], in nats."""
    values = losses.denoising(
        sde, score, times(sde, len(x_0)), weight, jax.random.key(seed), Batch(x_0, jnp.arange(len(x_0)))
    )
    assert values.shape == (len(x_0),)
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))
