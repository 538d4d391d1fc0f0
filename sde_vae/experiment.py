"""A run, built: what the commands work with."""

from collections.abc import Callable
from typing import NamedTuple

from sde_vae.data.dataset import Dataset
from sde_vae.evaluators.decoding import Decoder
from sde_vae.evaluators.subject import Evaluator
from sde_vae.method import Method
from sde_vae.train import Stage


class Experiment(NamedTuple):
    """Everything a run needs, the data apart: building it loads nothing and allocates nothing.

    `stages` are in the order of training; load() reads the data set; subject(...) is what the evaluators see.
    """

    shape: tuple[int, int, int]
    prior: Method
    method: Method
    stages: tuple[Stage, ...]
    load: Callable[[], Dataset]
    decoder: Decoder
    inverter: Decoder
    evaluators: dict[str, Evaluator]
