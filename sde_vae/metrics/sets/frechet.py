"""The Frechet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, arXiv:1706.08500).

    d(a, b) = |mu_a - mu_b|^2 + tr A + tr B - 2 tr (A B)^{1/2}

With Inception's features it is the FID. The estimate is biased upwards, more so for fewer images (Chong & Forsyth 2020,
arXiv:1911.07023). Values compare only at equal numbers of images. The distance between two sets of real images of these numbers
is the reference.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sde_vae.errors import BadInput
from sde_vae.metrics.sets.extractors import Extractor

Features = Float[np.ndarray, "n dim"]
Mean = Float[np.ndarray, "dim"]
Matrix = Float[np.ndarray, "dim dim"]


class Moments(NamedTuple):
    """The moments of n feature vectors, in float64: scatter = sum_i (x_i - mean)(x_i - mean)^T."""

    n: int
    mean: Mean
    scatter: Matrix

    @property
    def covariance(self) -> Matrix:
        """The unbiased covariance. Raises BadInput for fewer than two images."""
        if self.n < 2:
            raise BadInput(f"n: a covariance takes at least 2 images, got {self.n}")
        return self.scatter / (self.n - 1)


def moments(features: Features) -> Moments:
    """Return the moments of features [n, dim]. Raises BadInput if there are none, or if one is not finite."""
    x = np.asarray(features, np.float64)
    bad = int(np.sum(~np.isfinite(x).all(axis=1)))
    if bad or not len(x):
        raise BadInput(f"features: expected at least one row, all finite; got {len(x)} rows, {bad} not finite")
    mean = x.mean(axis=0)
    centred = x - mean[None, :]
    return Moments(len(x), mean, centred.T @ centred)


def merge(a: Moments, b: Moments) -> Moments:
    """Return the moments of the union of two sets, such as batches, in any order (Chan, Golub & LeVeque 1983)."""
    n = a.n + b.n
    shift = b.mean - a.mean
    scatter = a.scatter + b.scatter + (a.n * b.n / n) * np.outer(shift, shift)
    return Moments(n, a.mean + (b.n / n) * shift, scatter)


def moments_of(extractor: Extractor, batches: Iterable[np.ndarray]) -> Moments:
    """Return the moments of the features of uint8 batches [m, H, W, C], each of which is read once and not kept.

    A batch smaller than the first is padded, so that the last batch needs no new compilation. Raises BadInput without a batch.
    """
    total, size = None, 0
    for batch in batches:
        size = size or len(batch)
        rows = np.minimum(np.arange(max(size, len(batch))), len(batch) - 1)
        part = moments(np.asarray(extractor.features(batch[rows]))[: len(batch)])
        total = part if total is None else merge(total, part)
    if total is None:
        raise BadInput("images: expected at least one batch, got none")
    return total


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return d(a, b) >= 0. The covariances may be singular, as with fewer images than features.

    (A B)^{1/2} is not formed. With A = X X^T and B = Y Y^T, its trace is the sum of the singular values of X^T Y, which is real
    and non-negative under rounding. Raises BadInput for moments of different dimensions.

    >>> a = moments(np.array([[0.0], [2.0]]))
    >>> b = moments(np.array([[1.0], [3.0]]))
    >>> frechet_distance(a, b)
    1.00
    """
    if a.mean.shape != b.mean.shape:
        raise BadInput(f"moments: expected two of one dimension, got {len(a.mean)} and {len(b.mean)}")
    A, B = a.covariance, b.covariance
    cross = np.linalg.svd(_factor(A).T @ _factor(B), compute_uv=False).sum()
    distance = np.sum(np.square(a.mean - b.mean)) + np.trace(A) + np.trace(B) - 2 * cross
    return max(float(distance), 0.0)


def _factor(covariance: Matrix) -> Float[np.ndarray, "dim rank"]:
    """Return X with X X^T = covariance.

    Eigenvalues within rounding of zero are left out: their square roots would have the size of the root of the rounding error.
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])[None, :]
