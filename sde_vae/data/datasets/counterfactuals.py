"""True counterfactuals: images as they would be with one attribute changed and all else kept, where the data can be rendered again."""

from collections.abc import Callable, Sequence

import numpy as np

from sde_vae.data.dataset import to_model, to_unit
from sde_vae.data.datasets import avatar_faces
from sde_vae.data.datasets.avatar_factors import FACTORS

# Data set -> render({attribute: value}, size) -> uint8 image
RENDERERS: dict[str, Callable[[dict[str, int], int], np.ndarray]] = {"avatars": avatar_faces.render}
# Data set -> names of each attribute's values, where they have names.
VALUES = {"avatars": FACTORS}


def counterfactuals(data_set: str, attributes: Sequence[dict[str, int]], size: int, levels: int) -> np.ndarray | None:
    """Render images of the given attributes, an original's with one of them changed: [n, size, size, C] on [0, 1].

    `levels` is the number of grey levels of the data set. Returns None if its images cannot be rendered from attributes.
    """
    if data_set not in RENDERERS:
        return None
    return to_unit(to_model(np.stack([RENDERERS[data_set](row, size) for row in attributes]), levels))


def value_name(data_set: str, name: str, value: int) -> str:
    """Return the name of an attribute's value, or its number where the values have no names."""
    return VALUES[data_set][name][value] if data_set in VALUES else str(value)
