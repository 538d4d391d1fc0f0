"""Small methods on images and in the plane, shared by the tests."""

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.diffusion import time_samplers, weights
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.sdes import VP
from sde_vae.methods.posteriors import noisy_input
from sde_vae.methods.prior import predicts_velocity, prior
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.encoder import Encoder, HalfUNet
from sde_vae.nets.network import Network, network
from sde_vae.nets.unet import UNet
from sde_vae.types import Batch

SDE = VP()
SHAPE, LATENT = (4, 4, 1), 3


def image_methods(strata=16, dropout=0.0, beta=0.01):
    """(prior, ScoreVAE) with the smallest U-Net and encoder."""
    times, weight = time_samplers.times_uniform_in_log_snr(SDE, strata), weights.likelihood_weighting()
    p = prior(SDE, network(UNet(8, (1,), 1, dropout=dropout), SHAPE), predicts_velocity, times, weight)
    return p, score_vae(SDE, p, image_posterior(), times, weight, kl_penalty(beta))


def image_posterior():
    return noisy_input(SDE, network(Encoder(HalfUNet(8, (1,), 1), LATENT), SHAPE))


def awake(params, scale=0.05):
    """Parameters away from their zero starts, so that every path of the network carries something."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(99), len(leaves))
    noisy = [a + scale * jax.random.normal(k, a.shape, a.dtype) for a, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, noisy)


def image_batch(n=16, seed=0):
    x = np.random.default_rng(seed).uniform(-1, 1, (n, *SHAPE)).astype(np.float32)
    return Batch(jnp.asarray(x), jnp.arange(n, dtype=jnp.int32))


def pixelwise(config, name, shape, outputs, zero=True, latent=0):
    """In the place of `build.nets.build_image_network`: a linear map of each pixel's channels, which is compiled at once."""
    init = lambda key: {"w": jax.random.normal(key, (shape[-1], outputs)) / 10}
    return Network(init, lambda params, x, log_snr, keys=None, z=None: x @ params["w"])


def tanh_network(inputs, outputs, hidden=8, head=lambda y: y):
    """A network in plain JAX that keeps whatever precision it is given: for finite differences in float64."""

    def init(key):
        k1, k2, k3 = jax.random.split(key, 3)
        return {
            "in": jax.random.normal(k1, (inputs, hidden)),
            "level": jax.random.normal(k2, (hidden,)),
            "out": jax.random.normal(k3, (hidden, outputs)) / np.sqrt(hidden),
        }

    def apply(params, x, log_snr, keys=None):
        h = jnp.tanh(x @ params["in"] + 0.1 * log_snr[:, None] * params["level"][None])
        return head(h @ params["out"])

    return Network(init, apply)
