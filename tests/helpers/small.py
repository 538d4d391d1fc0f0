"""Small methods on images and in the plane, shared by the tests."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.diffusion import time_samplers, weights
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.sdes import VP
from sde_vae.methods.posteriors import noisy_input
from sde_vae.methods.prior import predicts_velocity, prior
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.encoder import Encoder
from sde_vae.nets.layers import Conv3x3, Dense, Dropout, LatentEmbedding, NoiseLevel
from sde_vae.nets.network import Network, network
from sde_vae.nets.unet import UNet
from sde_vae.types import Batch

SDE = VP()
SHAPE, LATENT = (4, 4, 1), 3


SMALLEST_UNET = partial(UNet, 8, (1,), 1)


class HiddenLayer(nn.Module):
    """Eight channels that know the noise level, and z: [batch, H, W, 8], by one convolution."""

    dropout: float = 0.0

    @nn.compact
    def __call__(self, x, log_snr, keys=None, z=None, keep=None):
        level = Dense(8)(NoiseLevel(8, jnp.float32)(log_snr))[:, None, None, :]
        h = nn.silu(Conv3x3(8, jnp.float32)(x) + level)
        if z is not None:
            h = h * (1 + Dense(8)(LatentEmbedding(8, jnp.float32)(z, keep))[:, None, None, :])
        return Dropout(self.dropout)(h, keys)


class TwoLayers(nn.Module):
    """In the place of a U-Net: all that a method needs of a network, in two convolutions, which are compiled at once."""

    dropout: float = 0.0
    zero: bool = True

    @nn.compact
    def __call__(self, x, log_snr, keys=None, z=None, keep=None):
        h = HiddenLayer(self.dropout)(x, log_snr, keys, z, keep)
        return Conv3x3(x.shape[-1], jnp.float32, zero=self.zero)(h)


class Flat(nn.Module):
    """The features of `HiddenLayer` as the body of an encoder."""

    @nn.compact
    def __call__(self, x, log_snr, keys=None):
        return HiddenLayer()(x, log_snr, keys).reshape(len(x), -1)


def image_methods(strata=16, dropout=0.0, beta=0.01, net=TwoLayers):
    """(prior, ScoreVAE) of a small network and encoder."""
    times, weight = time_samplers.times_uniform_in_log_snr(SDE, strata), weights.likelihood_weighting()
    p = prior(SDE, network(net(dropout=dropout), SHAPE), predicts_velocity, times, weight)
    return p, score_vae(SDE, p, image_posterior(), times, weight, kl_penalty(beta))


def image_posterior():
    return noisy_input(SDE, network(Encoder(Flat(), LATENT), SHAPE))


def given_z(dropout=0.0, zero=True, net=TwoLayers):
    """A network of x, logSNR and z."""
    return network(net(dropout=dropout, zero=zero), SHAPE, z=(LATENT,))


def awake(params, scale=0.05):
    """Parameters away from their zero starts, so that every path of the network carries something."""
    rng = np.random.default_rng(99)
    noisy = lambda a: jnp.asarray(a + scale * rng.standard_normal(a.shape), a.dtype)
    return jax.tree.map(noisy, jax.device_get(params))


def image_batch(n=16, seed=0):
    x = np.random.default_rng(seed).uniform(-1, 1, (n, *SHAPE)).astype(np.float32)
    return Batch(jnp.asarray(x), jnp.arange(n, dtype=jnp.int32))


def pixelwise(config, name, shape, outputs, zero=True, latent=0, exact=False):
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
