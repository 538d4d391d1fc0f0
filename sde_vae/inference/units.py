"""How examples come from the user and go back: images on [0, 1], other arrays in the units that they were given in."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from sde_vae.data.dataset import to_bytes, to_unit
from sde_vae.data.scaling import Standardisation
from sde_vae.errors import BadInput
from sde_vae.inference.user_images import from_user


class Units(NamedTuple):
    """Conversions between the model's range and the user's.

    from_user(x, shape, name)   float32 [n, *shape] in the model's range; raises BadInput, which begins with `name`
    to_user(x)                  x of the model in the user's range, float32
    to_file(x)                  x of the user as it is written to files
    """

    from_user: Callable[..., np.ndarray]
    to_user: Callable[[np.ndarray], np.ndarray]
    to_file: Callable[[np.ndarray], np.ndarray]


IMAGES = Units(from_user, to_unit, to_bytes)


def units_of(scaling: Standardisation | None) -> Units:
    """Return the units of data with this standardisation; without one they are images."""
    if scaling is None:
        return IMAGES
    return Units(partial(arrays_from_user, scaling), scaling.to_user, lambda x: x)


def arrays_from_user(scaling: Standardisation, x: Any, shape: tuple[int, ...], name: str = "x") -> np.ndarray:
    """Return standardised float32 [n, *shape] of real numbers in the user's units.

    Raises BadInput that says what came and what was expected, for other shapes and types and for values that are not finite.

    >>> scaling = Standardisation(np.array([10.0, 0.0]), np.array([2.0, 5.0]))
    >>> arrays_from_user(scaling, [[12, -5]], (2,)).tolist()
    [[1.0, -1.0]]
    """
    x = np.asarray(x)
    if x.shape[1:] != shape or x.ndim == 0 or len(x) == 0:
        wanted = ", ".join(map(str, shape))
        raise BadInput(f"{name}: got an array of shape {x.shape}, expected [n, {wanted}] with n at least 1")
    if x.dtype.kind not in "iuf" or not np.all(np.abs(x.astype(np.float64)) <= np.finfo(np.float32).max):
        raise BadInput(f"{name}: got {x.dtype}, or values that are not finite; expected finite real numbers")
    return scaling.to_model(x)
