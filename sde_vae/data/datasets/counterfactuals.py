"""True counterfactuals: images as they would be with one attribute changed and all else kept, where the data can be rendered again."""

from collections.abc import Callable, Sequence

import numpy as np

from sde_vae.data.dataset import to_model, to_unit


def counterfactuals(
    render: Callable[[dict[str, int], int], np.ndarray], attributes: Sequence[dict[str, int]], size: int, levels: int
) -> np.ndarray:
    """Render images of the given attributes, an original's with one of them changed: [n, size, size, C] on [0, 1].

    `render` is that of the data set, and `levels` its number of grey levels.
    """
    return to_unit(to_model(np.stack([render(row, size) for row in attributes]), levels))
