"""The aggregate posterior q(z) = E_x q(z | x) of the training images."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from sde_vae.data.dataset import Dataset, Images, evenly_spaced_index, take, to_model
from sde_vae.devices import replicate
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.inference.sampling import make_encode
from sde_vae.methods.latent_prior import Moments
from sde_vae.metrics.latent import gaussian
from sde_vae.metrics.latent.gaussian import LatentGaussian
from sde_vae.types import Points

# Images in memory at once.
CHUNK = 2048
# Training images that give the moments of the aggregate posterior.
FITTED = 20_000
# Encode(images in [-1, 1]) -> q(z | x_0)
Encode = Callable[[np.ndarray], DiagGaussian]


def sample_posterior(q: DiagGaussian, rng: np.random.Generator) -> np.ndarray:
    """Draw one z ~ q(z | x_0) for each image: [n, latent]."""
    return q.mean + np.exp(0.5 * q.log_var) * rng.standard_normal(q.mean.shape, np.float32)


def encode_images(encode: Encode, images: Images, levels: int, most: int) -> tuple[np.ndarray, DiagGaussian]:
    """Return (which images, their posteriors): at most `most` of them, evenly spaced."""
    rows = evenly_spaced_index(len(images), most)
    found = [encode(to_model(take(images, rows[i : i + CHUNK]), levels)) for i in range(0, len(rows), CHUNK)]
    return rows, DiagGaussian(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def aggregate_posterior(encode: Encode, train: Images, levels: int) -> LatentGaussian:
    """Return the Gaussian with the moments of q(z) over the training images, or over enough of them."""
    _, q = encode_images(encode, train, levels, FITTED)
    return gaussian.fit(q.mean, q.log_var)


def moments_of_codes(
    encode: Callable[[Any, Points], DiagGaussian], params: Any, batch_size: int, data: Dataset
) -> Moments:
    """Return the mean and standard deviation of each latent dimension over the training images, float32."""
    encode_all = partial(make_encode(encode, batch_size), replicate(params))
    found = aggregate_posterior(encode_all, data.split("train").images, data.levels)
    return Moments(*(jnp.asarray(of, jnp.float32) for of in (found.mean, found.std)))
