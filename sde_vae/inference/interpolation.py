"""Paths between latent codes, or between noises x_T: straight lines, arcs, single dimensions, directions.

All is computed in float64 and returned in the precision of the input. `at` [frames] are places on a path: 0 is its first end and 1
its last. A path is [batch, frames, ...].
"""

import numpy as np
from jaxtyping import Float

Codes = Float[np.ndarray, "batch *shape"]
Path = Float[np.ndarray, "batch frames *shape"]
Places = Float[np.ndarray, "frames"]

# Unit vectors nearer than this to one line have no plane of their own, but for rounding.
PARALLEL = 1e-12


def lerp(a: Codes, b: Codes, at: Places) -> Path:
    """Return the straight line from a to b, [batch, ...] each: [batch, frames, ...].

    >>> lerp(np.zeros((1, 2)), np.ones((1, 2)), np.array([0.0, 0.5, 1.0]))[0, 1]
    array([0.5, 0.5])
    """
    u, v, s = _flat(a), _flat(b), at[None, :, None]
    return _path((1 - s) * u[:, None] + s * v[:, None], a)


def slerp(a: Codes, b: Codes, at: Places) -> Path:
    """Return the shortest arc between the directions of a and b (Shoemake 1985), with the norm linear from |a| to |b|.

    Codes of equal norm r stay on the sphere of radius r and move along its great circle at an even speed: as it should be for
    Gaussian noise, whose norm hardly varies, while the middle of a straight line would be too short by sqrt(2). Parallel codes
    give the straight line. For opposite ones the arc is not unique: it goes by the axis to which a is most orthogonal, the
    same forwards and backwards (in one dimension, through 0). A code 0 has no direction, and takes that of the other one.
    """
    (ra, u), (rb, v) = _polar(_flat(a)), _polar(_flat(b))
    u, v = np.where(ra > 0, u, v), np.where(rb > 0, v, u)
    # Of small angles and of those near pi, arccos(u.v) would keep half of the digits (Kahan 2006).
    angle = 2 * np.arctan2(np.linalg.norm(u - v, axis=1), np.linalg.norm(u + v, axis=1))[:, None, None]
    s = at[None, :, None]
    direction = np.cos(s * angle) * u[:, None] + np.sin(s * angle) * _towards(u, v)[:, None]
    return _path(((1 - s) * ra[:, None] + s * rb[:, None]) * direction, a)


def traverse(
    z: Float[np.ndarray, "batch latent"], dimension: int, values: Places
) -> Float[np.ndarray, "batch frames latent"]:
    """Return z with one dimension set to each of the values in turn: [batch, frames, latent]."""
    path = np.repeat(z[:, None], len(values), axis=1)
    path[:, :, dimension] = values[None]
    return path


def edit(
    z: Float[np.ndarray, "batch latent"], direction: Float[np.ndarray, "latent"], strength: float
) -> Float[np.ndarray, "batch latent"]:
    """Return z + strength * direction, in the precision of z."""
    return (z.astype(np.float64) + strength * direction[None]).astype(z.dtype)


def _flat(a: Codes) -> Float[np.ndarray, "batch size"]:
    return a.reshape(len(a), -1).astype(np.float64)


def _path(flat: Float[np.ndarray, "batch frames size"], like: Codes) -> Path:
    return flat.reshape(*flat.shape[:2], *like.shape[1:]).astype(like.dtype)


def _polar(a: Float[np.ndarray, "batch size"]) -> tuple[Float[np.ndarray, "batch 1"], Float[np.ndarray, "batch size"]]:
    """Norms and directions; 0 has the direction 0."""
    # Scaled first: squares of the smallest numbers would be 0.
    largest = np.abs(a).max(axis=1, keepdims=True)
    a = a / np.where(largest > 0, largest, 1)
    norm = np.linalg.norm(a, axis=1, keepdims=True)
    return norm * largest, a / np.where(norm > 0, norm, 1)


def _towards(u: Float[np.ndarray, "batch size"], v: Float[np.ndarray, "batch size"]) -> np.ndarray:
    """The unit vector orthogonal to u in the plane of u and v; where there is no such plane, in that of u and an axis."""
    rest = v - np.sum(u * v, axis=1, keepdims=True) * u
    lost = np.linalg.norm(rest, axis=1, keepdims=True) < PARALLEL
    axis = np.zeros_like(u)
    axis[np.arange(len(u)), np.argmin(np.abs(u), axis=1)] = 1
    return _polar(np.where(lost, axis - np.sum(u * axis, axis=1, keepdims=True) * u, rest))[1]
