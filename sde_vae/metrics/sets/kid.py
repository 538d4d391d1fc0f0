"""The kernel distance between two sets of features (Binkowski et al. 2018, arXiv:1801.01401): unlike Frechet's, unbiased.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),    k(x, y) = (x.y / dim + 1)^3
"""

from collections.abc import Callable
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

    x and y are independent of each other (for reconstructions and their originals: `kid_of_pairs`). size is at most half of
    the smaller set: subsets of one set overlap, and how much they differ among themselves tells how much the sets would
    differ among themselves only as the delete-d jackknife (Shao & Wu 1989), with the factor size / (n - size); the finite
    number of subsets adds its part. Where x and y are equally distributed the error is cautious (too large). Raises BadInput
    for fewer than four images in a set, or fewer than two subsets.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    draw = lambda rng, size: mmd2(x[_rows(rng, len(x), size)], y[_rows(rng, len(y), size)])
    return _over_subsets(draw, min(len(x), len(y)), subsets, size, seed)


def kid_of_pairs(
    x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"], subsets: int = 100, size: int = 1000, seed: int = 0
) -> KID:
    """The same where x[i] was made from y[i]: the subsets are of pairs, and no image is compared with its own other half.

    With those comparisons kept, a set would be nearer to itself than nothing.
    """
    if x.shape != y.shape:
        raise BadInput(f"kid: expected pairs, got {len(x)} and {len(y)} images")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)

    def draw(rng: np.random.Generator, size: int) -> float:
        rows = _rows(rng, len(x), size)
        return mmd2_of_pairs(x[rows], y[rows])

    return _over_subsets(draw, len(x), subsets, size, seed)


def mmd2(x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"]) -> float:
    """The unbiased estimate of MMD^2 from all pairs (Gretton et al. 2012, eq. 3): no image is compared with itself."""
    return _mean_of_pairs(_kernel(x, x)) + _mean_of_pairs(_kernel(y, y)) - 2 * float(_kernel(x, y).mean())


def mmd2_of_pairs(x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "n dim"]) -> float:
    """The unbiased estimate from independent pairs (x_i, y_i) (Gretton et al. 2012, eq. 4)."""
    return _mean_of_pairs(_kernel(x, x)) + _mean_of_pairs(_kernel(y, y)) - 2 * _mean_of_pairs(_kernel(x, y))


def _over_subsets(draw: Callable[[np.random.Generator, int], float], n: int, subsets: int, size: int, seed: int) -> KID:
    if n < 4 or subsets < 2 or size < 2:
        raise BadInput(f"kid: expected 4 images, 2 subsets, of 2 images, or more; got {n}, {subsets}, of {size}")
    size = min(size, n // 2)
    rng = np.random.default_rng(seed)
    values = [draw(rng, size) for _ in range(subsets)]
    variance = np.var(values, ddof=1) * (size / (n - size) + 1 / subsets)
    return KID(float(np.mean(values)), float(np.sqrt(variance)))


def _rows(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    return rng.choice(n, size, replace=False)


def _kernel(x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"]) -> Kernel:
    base = x @ y.T / x.shape[1] + 1
    return base * base * base


def _mean_of_pairs(k: Kernel) -> float:
    return float((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)))
