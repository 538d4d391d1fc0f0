"""A stage: one network of a method, and the settings of its training."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import optax

from sde_vae.data.dataset import Images
from sde_vae.data.pipeline import Pipeline
from sde_vae.methods.method import Method
from sde_vae.training.train_state import Parts, make_parts
from sde_vae.types import Frozen, Params


def unchanged(frozen: Frozen) -> Frozen:
    """Return the frozen parameters unchanged."""
    return frozen


class Stage(NamedTuple):
    """One stage of training. Nothing is read or allocated before `open_data` is called.

    depends_on         the stages whose EMA parameters the method takes as frozen
    prepare            adds, once before training, what is computed from the frozen parameters: in the stage "latent", the
                       moments of the latent codes
    open_data          (synthetic images or None) -> the Pipeline of training images
    synthetic          the number of synthetic images, sampled from a prior, that the stage trains on; 0 for none
    accumulation       the parts in which a device takes its share of a batch, one after another
    preview            (EMA parameters, frozen) -> images [n, H, W, C] on [0, 1] by name, which TensorBoard shows every
                       `preview_every` steps; 0 is never
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
    accumulation: int = 1
    synthetic: int = 0
    preview_every: int = 0
    preview: Callable[[Params, Frozen], dict[str, np.ndarray]] | None = None
    prepare: Callable[[Frozen], Frozen] = unchanged


def parts_of(stage: Stage, axis_name: str | None = None) -> Parts:
    """Return the parts of the pure update of a stage; over devices, those of each."""
    return make_parts(stage.method, stage.optimiser, stage.ema_decay, axis_name, stage.accumulation)
