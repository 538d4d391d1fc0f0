"""Running a compiled function over any number of examples, in batches of one size."""

from collections.abc import Callable

import jax
import numpy as np
from tqdm import tqdm

from sde_vae.errors import BadInput
from sde_vae.parts import Parts


def stream(
    function: Callable, batch_size: int, *arrays: np.ndarray, label: str | None = None, parts: Parts | None = None
) -> np.ndarray:
    """function(*batches) over all rows of `arrays`, concatenated on the host; `function` returns one array.

    The last batch is filled up with copies of the last row, and cut afterwards: an odd number does not compile again. With a
    `label`, a progress bar counts the examples; with `parts` too, every batch is kept under that label, and a run that was
    stopped finds them there. Raises BadInput if a labelled result is not finite: a mean over it would vanish from the figures.
    """
    n = len(arrays[0])
    size = min(batch_size, n)

    def compute(start: int) -> np.ndarray:
        rows = np.minimum(np.arange(start, start + size), n - 1)
        return np.asarray(jax.device_get(function(*(a[rows] for a in arrays))))[: n - start]

    outputs = []
    with tqdm(total=n, desc=label, unit="image", disable=label is None) as bar:
        for number, start in enumerate(range(0, n, size)):
            make = lambda start=start: compute(start)
            outputs.append(parts.array(label, number, make) if parts and label else make())
            bar.update(len(outputs[-1]))
    result = np.concatenate(outputs)
    if label and not np.all(np.isfinite(result)):
        failed = int(np.sum(~np.isfinite(result.reshape(n, -1)).all(axis=1)))
        raise BadInput(
            f"{label}: {failed} of {n} came out not finite, expected finite numbers; if config.sampling.solver or inverter is ode, "
            "take larger rtol and atol, otherwise more config.sampling.steps or another solver"
        )
    return result
