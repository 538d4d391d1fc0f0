"""What is estimated of each held-out image from a few random draws, spread over the noise levels."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Float

from sde_vae.evaluators.subject import Subject
from sde_vae.streaming import stream
from sde_vae.types import Batch


def mean_of_draws(
    label: str, subject: Subject, n: int, draws: int, one_draw: Callable[[Batch], Float[Array, "batch ..."]]
) -> np.ndarray:
    """The mean of the draws of each of the first n images: [n, ...], float64. one_draw is compiled here.

    Its batch.index runs over n * draws strata, those of one image n apart: spread over all noise levels, and those of all images fill
    the gaps.
    """
    which = np.repeat(np.arange(n, dtype=np.int32), draws)
    index = np.tile(np.arange(draws, dtype=np.int32), n) * n + which
    compiled = jax.jit(lambda x, index: one_draw(Batch(x, index)))
    of_row = lambda which, index: compiled(subject.data.test[which], index)
    found = stream(of_row, subject.batch_size, which, index, label=label, parts=subject.parts)
    return found.reshape(n, draws, *found.shape[1:]).mean(axis=1, dtype=np.float64)
