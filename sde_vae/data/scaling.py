"""The standardisation of data that are no pictures: to mean 0 and variance 1 for the model, and back to the user's units."""

from typing import Any, NamedTuple

import numpy as np


class Standardisation(NamedTuple):
    """The mean and the standard deviation of the last axis of examples [*shape], float64 [shape[-1]].

    So a vector has one of each for every dimension, a time series or an array [H, W, C] one for every channel. A dimension that is
    constant has the standard deviation 1.

    >>> scaling = Standardisation(np.array([10.0, 0.0]), np.array([2.0, 5.0]))
    >>> scaling.to_model(np.array([[12.0, -5.0]])).tolist(), scaling.to_user(np.array([[1.0, -1.0]])).tolist()
    ([[1.0, -1.0]], [[12.0, -5.0]])
    """

    mean: np.ndarray
    std: np.ndarray

    def to_model(self, x: np.ndarray) -> np.ndarray:
        """Return standardised examples [..., *shape], float32."""
        # In float64: the mean may be far larger than the deviation.
        mean, std = self._like(x)
        return ((np.asarray(x, np.float64) - mean) / std).astype(np.float32)

    def to_user(self, x: np.ndarray) -> np.ndarray:
        """Return examples [..., *shape] in the user's units, float32: the inverse of `to_model`."""
        mean, std = self._like(x)
        return (np.asarray(x, np.float64) * std + mean).astype(np.float32)

    def log_volume(self, shape: tuple[int, ...]) -> float:
        """Return the log-determinant of `to_user` for examples of this shape: the sum of log std over all their dimensions."""
        return float(np.log(self.std).sum() * np.prod(shape[:-1]))

    def as_json(self) -> dict[str, list[float]]:
        """Return what config.json keeps of it: the same numbers, exactly."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    def _like(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        axes = (None,) * (np.ndim(x) - 1)
        return self.mean[axes], self.std[axes]


def standardisation_of(kept: dict[str, Any]) -> Standardisation | None:
    """Return the standardisation that `as_json` wrote among other things, or None if it is not there."""
    if "mean" not in kept or "std" not in kept:
        return None
    return Standardisation(np.asarray(kept["mean"], np.float64), np.asarray(kept["std"], np.float64))
