"""Images in the latent space."""

import numpy as np

from sde_vae.data.dataset import spread_index, take, to_model
from sde_vae.evaluators.subject import Subject
from sde_vae.gaussians import DiagGaussian

# So many images are in memory at once.
CHUNK = 2048


def draw_codes(q: DiagGaussian, rng: np.random.Generator) -> np.ndarray:
    """z ~ q(z | x_0), one of each image: [n, latent]."""
    return q.mean + np.exp(0.5 * q.log_var) * rng.standard_normal(q.mean.shape, np.float32)


def train_codes(subject: Subject, most: int) -> tuple[np.ndarray, DiagGaussian]:
    """(which training images, their posteriors): `most` of them at most, evenly spaced."""
    rows = spread_index(len(subject.data.train), most)
    found = [
        subject.encode(to_model(take(subject.data.train, rows[i : i + CHUNK]), subject.data.levels))
        for i in range(0, len(rows), CHUNK)
    ]
    return rows, DiagGaussian(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
