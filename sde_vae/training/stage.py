"""A stage: one network of a method, and all that its training needs."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import optax

from sde_vae.data.dataset import Images
from sde_vae.data.pipeline import Pipeline
from sde_vae.methods.method import Method
from sde_vae.types import Frozen, Params


def as_they_are(frozen: Frozen) -> Frozen:
    """Return the frozen parameters unchanged."""
    return frozen


class Stage(NamedTuple):
    """What the training loop needs. Nothing is read or allocated before `open_data` is called.

    depends_on names the stages whose EMA parameters the method takes as frozen; prepare(those) adds what is computed from them once,
    before training (the stage `latent`: the moments of the latent codes). preview(EMA parameters, frozen) makes the images that TensorBoard
    shows every `preview_every` steps, [n, H, W, C] on [0, 1]; 0 is never. open_data(synthetic) opens the training images and, if the
    stage wants `synthetic` of them, those sampled from a prior.
    """

    name: str
    method: Method
    depends_on: tuple[str, ...]
    optimiser: optax.GradientTransformation
    ema_decay: float
    open_data: Callable[[Images | None], Pipeline]
    batch_size: int
    steps: int
    checkpoint_every: int
    log_every: int
    keep: int
    parallel: str
    seed: int
    synthetic: int = 0
    preview_every: int = 0
    preview: Callable[[Params, Frozen], dict[str, np.ndarray]] | None = None
    prepare: Callable[[Frozen], Frozen] = as_they_are
