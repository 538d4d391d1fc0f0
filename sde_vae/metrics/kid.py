"""The kernel distance between two sets of features (Binkowski et al. 2018, arXiv:1801.01401): unlike Frechet's, unbiased.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),    k(x, y) = (x.y / dim + 1)^3
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sde_vae.errors import BadInput

Kernel = Float[np.ndarray, "n m"]


class KID(NamedTuple):
    """value is an estimate of MMD^2, and may be negative; standard_error is its error as the images are drawn anew."""

    value: float
    standard_error: float


def kid(
    x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"], subsets: int = 100, size: int = 1000, seed: int = 0
) -> KID:
    """The mean of the unbiased estimate over random subsets, each of `size` rows of x and of y, drawn without replacement.

    `size` is at most half of the smaller set. The standard error is that of drawing the images anew, by the delete-d jackknife
    (Shao & Wu 1989): the variance among subsets that overlap, times size / (n - size) + 1 / subsets, the second for their
    finite number. It is too large, not too small, where the distributions are equal or the sets of unequal sizes. Raises
    BadInput for fewer than four images in a set, two subsets, or two images in a subset.
    """
    n = min(len(x), len(y))
    if n < 4 or subsets < 2 or size < 2:
        raise BadInput(f"kid: expected 4 images, 2 subsets, of 2 images, or more; got {n}, {subsets}, of {size}")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    size = min(size, n // 2)
    rng = np.random.default_rng(seed)
    values = [
        mmd2(x[rng.choice(len(x), size, replace=False)], y[rng.choice(len(y), size, replace=False)])
        for _ in range(subsets)
    ]
    variance = np.var(values, ddof=1) * (size / (n - size) + 1 / subsets)
    return KID(float(np.mean(values)), float(np.sqrt(variance)))


def mmd2(x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"]) -> float:
    """The unbiased estimate of MMD^2 from all pairs (Gretton et al. 2012, eq. 3): no image is compared with itself."""
    return _mean_of_pairs(_kernel(x, x)) + _mean_of_pairs(_kernel(y, y)) - 2 * float(_kernel(x, y).mean())


def _kernel(x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"]) -> Kernel:
    base = x @ y.T / x.shape[1] + 1
    return base * base * base


def _mean_of_pairs(k: Kernel) -> float:
    return float((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)))
