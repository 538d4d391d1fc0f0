"""Estimates for each image from a few random draws, which are spread over the noise levels."""

from collections.abc import Callable

import jax
import numpy as np

from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.resume_cache import ResumeCache


def mean_of_draws(
    label: str | None,
    images: tuple[np.ndarray, ...],
    draws: int,
    one_draw: Callable[..., np.ndarray | jax.Array],
    batch_size: int,
    cache: ResumeCache | None = None,
) -> np.ndarray:
    """Return the mean of `draws` calls of one_draw(*images, index) for each row of the images [n, ...]: [n, ...], float64.

    one_draw is a compiled function of batches. Its index [batch] runs over n * draws strata, those of one image n apart: an image's
    draws are spread over all noise levels, and those of all images fill the gaps.
    """
    n = len(images[0])
    which = np.repeat(np.arange(n, dtype=np.int32), draws)
    index = np.tile(np.arange(draws, dtype=np.int32), n) * n + which
    of_row = lambda which, index: one_draw(*(x[which] for x in images), index)
    found = batched_map(of_row, batch_size, which, index, label=label, cache=cache)
    return found.reshape(n, draws, *found.shape[1:]).mean(axis=1, dtype=np.float64)
