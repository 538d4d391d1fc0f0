"""Run a compiled function over any number of examples, in batches of few sizes."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from sde_vae.errors import BadInput
from sde_vae.inference.resume_cache import ResumeCache


def batched_map(
    function: Callable, batch_size: int, *arrays: Any, label: str | None = None, cache: ResumeCache | None = None
) -> Any:
    """Return function(*batches) over all rows of `arrays`, concatenated on the host.

    An argument may be a tree of arrays, such as a condition; `function` returns one array, or without a label a tree of them.

    A batch has `batch_size` rows for each device, or for fewer rows the next power of two: another number of rows seldom compiles again.
    A batch is filled up with copies of the last row, and cut afterwards. With a `label`, a progress bar counts the examples; with `cache`
    too, every batch is kept under that label, and a run that was stopped finds them there. Raises BadInput if a labelled result is not
    finite: a mean over it would vanish from the figures.
    """
    n, devices = len(jax.tree.leaves(arrays)[0]), len(jax.local_devices())
    of_device = -(-n // devices)
    size = devices * min(batch_size, 1 << (of_device - 1).bit_length())

    def compute(start: int) -> Any:
        rows = np.minimum(np.arange(start, start + size), n - 1)
        found = jax.device_get(function(*jax.tree.map(lambda a: a[rows], arrays)))
        return jax.tree.map(lambda a: np.asarray(a)[: n - start], found)

    outputs = []
    with tqdm(total=n, desc=label, unit="image", disable=label is None) as bar:
        for start in range(0, n, size):
            make = lambda start=start: compute(start)
            rows = range(start, min(start + size, n))
            outputs.append(cache.array(label, rows, make) if cache and label else make())
            bar.update(len(rows))
    result = jax.tree.map(lambda *parts: np.concatenate(parts), *outputs)
    if label and not np.all(np.isfinite(result)):
        failed = int(np.sum(~np.isfinite(result.reshape(n, -1)).all(axis=1)))
        raise BadInput(
            f"{label}: {failed} of {n} are not finite; if config.sampling.solver or inverter is ode, "
            "set larger rtol and atol, otherwise more config.sampling.steps or another solver"
        )
    return result
