"""The kernel distance (KID) between two sets of features, which is unbiased (Binkowski et al. 2018, arXiv:1801.01401).

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),    k(x, y) = (x.y / dim + 1)^3
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sde_vae.errors import BadInput

Kernel = Float[np.ndarray, "n m"]


class KID(NamedTuple):
    """An estimate of MMD^2, which may be negative, and its standard error over new draws of the images."""

    value: float
    standard_error: float


def kid(
    x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"], subsets: int = 100, size: int = 1000, seed: int = 0
) -> KID:
    """Return the mean of the unbiased estimate over random subsets, of `size` rows of x and of y without replacement.

    x and y are independent of each other; for reconstructions and their originals use `kid_of_pairs`. `size` is reduced to half
    of the smaller set, if it is larger.

    The subsets of a set overlap. The standard error therefore is that of the delete-d jackknife (Shao & Wu 1989), with the factor
    size / (n - size), plus the part of the finite number of subsets. It is too large where x and y have equal distributions.
    Raises BadInput for fewer than four images in a set, or fewer than two subsets.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    draw = lambda rng, size: mmd2(x[_rows(rng, len(x), size)], y[_rows(rng, len(y), size)])
    return _over_subsets(draw, min(len(x), len(y)), subsets, size, seed)


def kid_of_pairs(
    x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"], subsets: int = 100, size: int = 1000, seed: int = 0
) -> KID:
    """Return the KID of pairs, where x[i] was made from y[i]: the subsets are of pairs, and x[i] is not compared with y[i].

    With those comparisons the estimate would be biased downwards. Raises BadInput for sets of different sizes, and as `kid` does.
    """
    if x.shape != y.shape:
        raise BadInput(f"kid: expected pairs, got {len(x)} and {len(y)} images")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)

    def draw(rng: np.random.Generator, size: int) -> float:
        rows = _rows(rng, len(x), size)
        return mmd2_of_pairs(x[rows], y[rows])

    return _over_subsets(draw, len(x), subsets, size, seed)


def mmd2(x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"]) -> float:
    """Return the unbiased estimate of MMD^2 (Gretton et al. 2012, eq. 3), in which no image is compared with itself."""
    return _mean_of_pairs(_kernel(x, x)) + _mean_of_pairs(_kernel(y, y)) - 2 * float(_kernel(x, y).mean())


def mmd2_of_pairs(x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "n dim"]) -> float:
    """Return the unbiased estimate of MMD^2 from independent pairs (x_i, y_i) (Gretton et al. 2012, eq. 4)."""
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
