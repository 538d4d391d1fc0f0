"""Images in the latent space."""

from collections.abc import Callable

import numpy as np

from sde_vae.data.dataset import Images, spread_index, take, to_model
from sde_vae.evaluators.subject import Subject
from sde_vae.gaussians import DiagGaussian
from sde_vae.metrics import latent_gaussian
from sde_vae.metrics.latent_gaussian import LatentGaussian

# So many images are in memory at once.
CHUNK = 2048
# So many training images give the moments of the aggregate posterior.
FITTED = 20_000
# Of images as the model has them.
Encode = Callable[[np.ndarray], DiagGaussian]


def draw_codes(q: DiagGaussian, rng: np.random.Generator) -> np.ndarray:
    """z ~ q(z | x_0), one of each image: [n, latent]."""
    return q.mean + np.exp(0.5 * q.log_var) * rng.standard_normal(q.mean.shape, np.float32)


def train_codes(subject: Subject, most: int) -> tuple[np.ndarray, DiagGaussian]:
    """(which training images, their posteriors): `most` of them at most, evenly spaced."""
    return _encoded(subject.encode, subject.data.train, subject.data.levels, most)


def aggregate(encode: Encode, train: Images, levels: int) -> LatentGaussian:
    """The moments of q(z) over the training images, or so many of them as are enough."""
    _, q = _encoded(encode, train, levels, FITTED)
    return latent_gaussian.fit(q.mean, q.log_var)


def _encoded(encode: Encode, images: Images, levels: int, most: int) -> tuple[np.ndarray, DiagGaussian]:
    rows = spread_index(len(images), most)
    found = [encode(to_model(take(images, rows[i : i + CHUNK]), levels)) for i in range(0, len(rows), CHUNK)]
    return rows, DiagGaussian(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
