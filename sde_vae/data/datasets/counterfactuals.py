"""The true counterfactual: the image as it would be with one attribute changed and all else kept, where the data can be drawn again."""

from collections.abc import Callable

import numpy as np

from sde_vae.data.dataset import to_model, to_unit
from sde_vae.data.datasets import avatar_faces
from sde_vae.data.datasets.avatar_factors import FACTORS
from sde_vae.evaluators.context import EvalData

# An image's attributes by name, and its size -> uint8 image
RENDERERS: dict[str, Callable[[dict[str, int], int], np.ndarray]] = {"avatars": avatar_faces.render}
# Names of an attribute's values, where they have other names than their numbers.
VALUES = {"avatars": FACTORS}


def counterfactuals(data: EvalData, rows: np.ndarray, name: str, value: int) -> np.ndarray | None:
    """The test images `rows` with the attribute `name` set to `value`, on [0, 1]; None if these data cannot be drawn again."""
    if data.name not in RENDERERS:
        return None
    known = [dict(zip(data.attributes.names, map(int, data.attributes.test[row]), strict=True)) for row in rows]
    draw, size = RENDERERS[data.name], data.test.shape[1]
    return to_unit(to_model(np.stack([draw({**row, name: value}, size) for row in known]), data.levels))


def value_name(data: EvalData, name: str, value: int) -> str:
    """What a picture calls it."""
    return VALUES[data.name][name][value] if data.name in VALUES else str(value)
