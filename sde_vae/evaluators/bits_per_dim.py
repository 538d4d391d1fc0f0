"""The evidence bound on held-out images, every term named, in bits/dim."""

from collections.abc import Iterator

import numpy as np

from sde_vae.evaluators.subject import Subject
from sde_vae.metrics.images import standard_error

TERMS = ("kl", "prior", "diffusion", "reconstruction")
# Draws of (z, t, eps) an image: the diffusion term is a Monte Carlo estimate.
DRAWS = 16


def bits_per_dim(subject: Subject) -> Iterator[tuple[str, float]]:
    """The bound of the model as it stands (beta = 1, likelihood weight), whatever loss it was trained with.

    The standard error is over images: it holds the Monte Carlo error of an image's draws too.
    """
    n = len(subject.data.test)
    index = np.arange(n * DRAWS, dtype=np.int32)
    terms = subject.bound(index // DRAWS, index, "bound")
    per_image = terms.reshape(n, DRAWS, len(TERMS)).mean(axis=1)
    for name, values in zip(TERMS, per_image.T, strict=True):
        yield f"bits_per_dim/{name}", float(values.mean())
    total = per_image.sum(axis=1)
    yield "bits_per_dim/total", float(total.mean())
    yield "bits_per_dim/total_stderr", standard_error(total)
    yield "bits_per_dim/draws", float(DRAWS)
