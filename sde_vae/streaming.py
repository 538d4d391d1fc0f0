"""Running a compiled function over any number of examples, in batches of one size."""

from collections.abc import Callable

import jax
import numpy as np
from tqdm import tqdm


def stream(function: Callable, batch_size: int, *arrays: np.ndarray, label: str | None = None) -> np.ndarray:
    """function(*batches) over all rows of `arrays`, concatenated on the host; `function` returns one array.

    The last batch is filled up with copies of the last row, and cut afterwards: an odd number does not compile again. With a
    `label`, a progress bar counts the examples.
    """
    n = len(arrays[0])
    size = min(batch_size, n)
    outputs = []
    with tqdm(total=n, desc=label, unit="image", disable=label is None) as bar:
        for start in range(0, n, size):
            rows = np.minimum(np.arange(start, start + size), n - 1)
            kept = min(size, n - start)
            outputs.append(np.asarray(jax.device_get(function(*(a[rows] for a in arrays))))[:kept])
            bar.update(kept)
    return np.concatenate(outputs)
