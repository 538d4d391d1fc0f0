"""The Frechet distance between two sets of features, each taken for a Gaussian (Heusel et al. 2017, arXiv:1706.08500).

    d(a, b) = |mu_a - mu_b|^2 + tr A + tr B - 2 tr (A B)^{1/2}

With Inception's features it is the FID. The estimate is biased upwards, the more so the fewer the images (Chong & Forsyth
2020, arXiv:1911.07023): it compares only at equal numbers of images, and is to be read beside what real images have from
other real images at the same numbers.
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
    """All that the distance needs of n features, in float64: scatter = sum_i (x_i - mean)(x_i - mean)^T."""

    n: int
    mean: Mean
    scatter: Matrix

    @property
    def covariance(self) -> Matrix:
        """The unbiased one. Raises BadInput for fewer than two images."""
        if self.n < 2:
            raise BadInput(f"n: a covariance takes at least 2 images, got {self.n}")
        return self.scatter / (self.n - 1)


def moments(features: Features) -> Moments:
    """Of at least one feature vector. Raises BadInput if there is none, or if one is not finite."""
    x = np.asarray(features, np.float64)
    bad = int(np.sum(~np.isfinite(x).all(axis=1)))
    if bad or not len(x):
        raise BadInput(f"features: expected at least one row, all finite; got {len(x)} rows, {bad} not finite")
    mean = x.mean(axis=0)
    centred = x - mean[None, :]
    return Moments(len(x), mean, centred.T @ centred)


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both sets together (Chan, Golub & LeVeque 1983): of batches, devices or hosts, in any order."""
    n = a.n + b.n
    shift = b.mean - a.mean
    scatter = a.scatter + b.scatter + (a.n * b.n / n) * np.outer(shift, shift)
    return Moments(n, a.mean + (b.n / n) * shift, scatter)


def moments_of(extractor: Extractor, batches: Iterable[np.ndarray]) -> Moments:
    """Of a stream of uint8 batches [m, H, W, C], which are seen once each and not kept.

    A batch smaller than the first is filled up and cut afterwards, so that the last one does not compile again.
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
    """d(a, b) >= 0. Works for singular covariances, as they are when there are fewer images than features.

    (A B)^{1/2} is never formed: with A = X X^T and B = Y Y^T its trace is the sum of the singular values of X^T Y, real and
    non-negative whatever the rounding.
    """
    if a.mean.shape != b.mean.shape:
        raise BadInput(f"moments: expected two of one dimension, got {len(a.mean)} and {len(b.mean)}")
    A, B = a.covariance, b.covariance
    cross = np.linalg.svd(_factor(A).T @ _factor(B), compute_uv=False).sum()
    distance = np.sum(np.square(a.mean - b.mean)) + np.trace(A) + np.trace(B) - 2 * cross
    return max(float(distance), 0.0)


def _factor(covariance: Matrix) -> Float[np.ndarray, "dim rank"]:
    """X with X X^T = covariance.

    Eigenvalues within rounding of zero are zero: their square roots would be noise of the square root of the rounding.
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])[None, :]
