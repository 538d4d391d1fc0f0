"""The sliced Wasserstein distance of two sets (Bonneel et al. 2015): W2 on random lines, where it is exact by sorting."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# Directions that are projected at once.
CHUNK = 64


class Sliced(NamedTuple):
    """The distance, the root of the mean of W2^2 over the directions, and its standard error over them."""

    value: float
    standard_error: float


def random_directions(rng: np.random.Generator, n: int, dim: int) -> Float[np.ndarray, "n dim"]:
    """Return n directions, uniform on the sphere."""
    normal = rng.standard_normal((n, dim))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def sliced_wasserstein(
    x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"], directions: Float[np.ndarray, "k dim"]
) -> Sliced:
    """Return the distance of two sets of vectors, which may differ in number, over these unit directions.

    >>> x = np.array([[0.0, 0.0], [1.0, 0.0]])
    >>> sliced_wasserstein(x, x + np.array([[3.0, 4.0]]), np.eye(2)).value ** 2  # (3^2 + 4^2) / 2
    12.5
    """
    parts = [directions[i : i + CHUNK].T for i in range(0, len(directions), CHUNK)]
    squares = np.concatenate([w2_squared(x @ part, y @ part) for part in parts])
    value = float(np.sqrt(squares.mean()))
    error = float(squares.std(ddof=1) / np.sqrt(len(squares))) if len(squares) > 1 else 0.0
    return Sliced(value, error / (2 * value) if value else 0.0)


def w2_squared(x: Float[np.ndarray, "n k"], y: Float[np.ndarray, "m k"]) -> Float[np.ndarray, " k"]:
    """Return W2^2 of the empirical distributions of each column: the integral of (F^-1 - G^-1)^2, exact for any n and m.

    >>> w2_squared(np.array([[0.0], [2.0]]), np.array([[1.0]]))
    array([1.])
    """
    n, m = len(x), len(y)
    # Both quantile functions are constant between these levels, in units of 1 / (n m).
    cuts = np.union1d(np.arange(1, n + 1, dtype=np.int64) * m, np.arange(1, m + 1, dtype=np.int64) * n)
    weights = np.diff(cuts, prepend=0) / (n * m)
    gap = np.sort(x, axis=0)[(cuts - 1) // m] - np.sort(y, axis=0)[(cuts - 1) // n]
    return weights @ np.square(gap)
