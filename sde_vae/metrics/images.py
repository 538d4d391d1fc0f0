"""Distances between two batches of images on [0, 1], per image."""

import numpy as np


def squared_errors(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x - y)^2 as [batch, dims]. Raises ValueError if the shapes differ: nothing is broadcast."""
    if x.shape != y.shape:
        raise ValueError(f"expected two batches of one shape, got {x.shape} and {y.shape}")
    return np.square(x.astype(np.float64) - y.astype(np.float64)).reshape(len(x), -1)


def l2(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean norm of the difference of each pair: shape [batch]. Its mean is the figure of arXiv:2304.12141."""
    return np.sqrt(squared_errors(x, y).sum(axis=1))


def mse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean squared error of each pair: shape [batch]."""
    return squared_errors(x, y).mean(axis=1)


def standard_error(values: np.ndarray) -> float:
    """Of the mean of independent values."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
