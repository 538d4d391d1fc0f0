"""A run, built: what the commands work with."""

from collections.abc import Callable
from typing import NamedTuple

from sde_vae.data.dataset import Dataset
from sde_vae.evaluators.decoding import Decoder
from sde_vae.evaluators.subject import Evaluator
from sde_vae.method import Method
from sde_vae.train import Stage
from sde_vae.types import Params, ScoreFn


class Experiment(NamedTuple):
    """Everything a run needs, the data apart: building it loads nothing and allocates nothing.

    `method` is what is evaluated; unconditional(frozen) is the prior's score, from what it stands
    on. `stages` are in the order of training, `final` and `latent` among them: the one of `method`, and that of a prior of its
    codes, if it is trained. drawn_from: the model whose draws a stage trains on as well. load() reads the data set.
    """

    title: str
    shape: tuple[int, int, int]
    prior: Method | None
    unconditional: Callable[[Params], ScoreFn] | None
    method: Method
    stages: tuple[Stage, ...]
    final: Stage
    latent: Stage | None
    drawn_from: Method | None
    load: Callable[[], Dataset]
    decoder: Decoder
    inverter: Decoder
    evaluators: dict[str, Evaluator]
