"""How well K draws from a distribution predict the truth: draws [batch, K, ...], truth [batch, ...]; one value per example, in float64.

PSNR rewards the mean of the posterior. These are proper scores, whose expectation is best for draws from the posterior itself, and what
shows where draws are too narrow or too wide. Each takes K >= 2. All raise ValueError for shapes that do not fit.
"""

import numpy as np
from jaxtyping import Bool, Float

Draws = Float[np.ndarray, "batch draws *shape"]
Truth = Float[np.ndarray, "batch *shape"]
Values = Float[np.ndarray, "batch"]


def energy_score(draws: Draws, truth: Truth) -> Values:
    """Return E|X - y| - 1/2 E|X - X'| with Euclidean norms, without bias in K (Gneiting & Raftery 2007, section 4.3): lower is better.

    >>> energy_score(np.array([[[0.0], [2.0]]]), np.array([[1.0]]))
    array([0.])
    """
    draws, truth = _checked(draws, truth)
    norm = lambda a: np.sqrt(np.square(a).reshape(len(a), -1).sum(axis=1))
    return _score(draws, truth, norm)


def crps(draws: Draws, truth: Truth) -> Values:
    """Return the continuous ranked probability score, the mean over pixels: the energy score of each pixel alone."""
    draws, truth = _checked(draws, truth)
    return _score(draws, truth, lambda a: np.abs(a).reshape(len(a), -1).mean(axis=1))


def coverage(draws: Draws, truth: Truth, counted: Bool[np.ndarray, "batch *shape"]) -> Values:
    """Return the share of the counted pixels whose truth lies between the smallest and the largest draw; NaN where none is counted.

    Truth and draws of one distribution give (K - 1) / (K + 1): see `nominal_coverage`. A smaller share shows draws that are too narrow.
    """
    draws, truth = _checked(draws, truth)
    inside = (draws.min(axis=1) < truth) & (truth < draws.max(axis=1)) & counted
    total = lambda a: a.reshape(len(a), -1).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return total(inside) / total(counted)


def nominal_coverage(draws: int) -> float:
    """Return the coverage of draws from the distribution of the truth: the truth's rank among K + 1 values is uniform.

    >>> nominal_coverage(3)
    0.5
    """
    return (draws - 1) / (draws + 1)


def diversity(draws: Draws) -> Values:
    """Return the standard deviation of a pixel over the draws, the mean over pixels."""
    spread = np.std(draws.astype(np.float64), axis=1, ddof=1)
    return spread.reshape(len(spread), -1).mean(axis=1)


def _score(draws: np.ndarray, truth: np.ndarray, size) -> np.ndarray:
    K = draws.shape[1]
    error = sum(size(draws[:, k] - truth) for k in range(K)) / K
    pairs = [size(draws[:, k] - draws[:, l]) for k in range(K) for l in range(k)]
    return error - sum(pairs) / (2 * len(pairs))


def _checked(draws: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if draws.shape[1] < 2 or draws.shape[:1] + draws.shape[2:] != truth.shape:
        raise ValueError(f"expected two or more draws of each truth, got {draws.shape} and {truth.shape}")
    return draws.astype(np.float64), truth.astype(np.float64)
