"""Check images and latent codes from outside, and convert them to the model's range."""

from typing import Any

import numpy as np

from sde_vae.errors import BadInput

# Pixels further than this from a grey level of the data are not on its levels; rounding to 8 bits moves them by half as much.
OFF_LEVEL = 0.07


def from_user(images: Any, shape: tuple[int, ...], name: str = "images") -> np.ndarray:
    """Return float32 [n, H, W, C] in [-1, 1] from uint8 images (0 to 255), or from floats in [0, 1].

    `shape` is (H, W, C); of one channel, [n, H, W] will do. Raises BadInput that says what came and what was expected, for other
    shapes and types, and for floats outside [0, 1].

    >>> float(from_user(np.full((2, 8, 8, 1), 255, np.uint8), (8, 8, 1)).max())
    1.0
    """
    x = np.asarray(images)
    if x.ndim == 3 and x.shape[1:] == shape[:2] and shape[2] == 1:
        x = x[..., None]
    if x.ndim != 4 or x.shape[1:] != shape or len(x) == 0:
        wanted = ", ".join(map(str, shape))
        raise BadInput(f"{name}: got an array of shape {np.shape(images)}, expected [n, {wanted}] with n at least 1")
    if x.dtype == np.uint8:
        return x.astype(np.float32) * np.float32(2 / 255) - np.float32(1)
    if not np.issubdtype(x.dtype, np.floating):
        raise BadInput(f"{name}: got {x.dtype}, expected uint8 (0 to 255) or floats in [0, 1]")
    if not np.all(np.isfinite(x)) or x.min() < 0 or x.max() > 1:
        got = (
            f"values from {np.nanmin(x):g} to {np.nanmax(x):g}"
            if np.all(np.isfinite(x))
            else "values that are not finite"
        )
        raise BadInput(f"{name}: got {got}, expected floats in [0, 1], or uint8 (0 to 255)")
    return (2 * x - 1).astype(np.float32)


def codes_from_user(z: Any, latent_dim: int, name: str = "z") -> np.ndarray:
    """Return float32 latent codes [n, latent_dim]. Raises BadInput for another shape, or values that are not finite."""
    z = np.asarray(z)
    if z.ndim != 2 or z.shape[1] != latent_dim or len(z) == 0:
        raise BadInput(f"{name}: got an array of shape {z.shape}, expected [n, {latent_dim}] with n at least 1")
    if not np.issubdtype(z.dtype, np.number) or not np.all(np.isfinite(z)):
        raise BadInput(f"{name}: got values that are not finite numbers, expected finite ones")
    return z.astype(np.float32)


def whole(value: Any, name: str, least: int) -> int:
    """Return a whole number. Raises BadInput, with its name, for one below `least` or for anything else.

    >>> whole(3, "n", 1)
    3
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise BadInput(f"{name}: got {value!r}, expected a whole number, at least {least}")
    return int(value)


def labels_from_user(label: Any, guidance: Any, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (classes int32 [n], guidance float32 [n]) of one label, or one an image, and one guidance scale.

    Raises BadInput for labels that are no whole numbers below `classes`, for another number of them, and for a guidance that is not finite.

    >>> labels_from_user(3, 2.0, 2, classes=10)
    (array([3, 3], dtype=int32), array([2., 2.], dtype=float32))
    """
    given = np.asarray(label)
    if given.shape not in ((), (n,)):
        raise BadInput(f"label: got an array of shape {given.shape}, expected one label, or {n}, one for each image")
    if not np.issubdtype(given.dtype, np.integer) or given.min() < 0 or given.max() >= classes:
        raise BadInput(f"label: got {label!r}, expected a whole number from 0 to {classes - 1}")
    if isinstance(guidance, bool) or not isinstance(guidance, int | float | np.number) or not np.isfinite(guidance):
        raise BadInput(f"guidance: got {guidance!r}, expected a finite number, such as 2: 1 is the class's own score")
    return np.broadcast_to(given, n).astype(np.int32), np.full(n, guidance, np.float32)


def on_levels(x: np.ndarray, levels: int) -> np.ndarray:
    """Return images in [-1, 1] moved to the nearest of the data's grey levels, on which bits per dimension are defined.

    Raises BadInput where a pixel lies between two levels: then the images are not of this kind of data.
    """
    steps = (x + 1) / 2 * (levels - 1)
    nearest = np.round(steps)
    worst = float(np.abs(steps - nearest).max())
    if worst > OFF_LEVEL:
        raise BadInput(
            f"images: got pixels that are {worst:.2f} of a step away from the data's {levels} grey levels, expected images on these "
            "levels: bits per dimension are defined for them only"
        )
    return (nearest * np.float32(2 / (levels - 1)) - 1).astype(np.float32)
