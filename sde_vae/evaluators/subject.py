"""What is evaluated, as evaluators see it: a few functions on host arrays, the data, and the judges."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sde_vae.data.dataset import Images
from sde_vae.evaluators.decoding import Decoder
from sde_vae.gaussians import DiagGaussian
from sde_vae.metrics.extractors import Extractor
from sde_vae.parts import Parts
from sde_vae.types import Latents, Points, ScoreFn


class Judges(NamedTuple):
    """Networks that judge images. lpips: metric name -> distance(x, y) on [0, 1] images; extractor: of FD and KID, or None.

    weights says of each which weights it has, to be told beside its figures. moments: a folder where the moments of real
    images are kept.
    """

    lpips: dict[str, Callable]
    extractor: Extractor | None
    weights: dict[str, str]
    moments: Path


class Attributes(NamedTuple):
    """What is known of the images of `train` and `test` beside their pixels: one row an image, one column a name, integers."""

    names: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray


class Held(NamedTuple):
    """The data of an evaluation. train and held_out: uint8, maybe not in memory; test: the first of held_out, which are
    reconstructed, float32 in [-1, 1].

    name and fingerprint (of train) say which they are. attributes: of train and test, or None where the data have none.
    """

    name: str
    fingerprint: str
    levels: int
    train: Images
    held_out: Images
    test: np.ndarray
    attributes: Attributes | None = None


class Model(NamedTuple):
    """The trained model, its EMA parameters closed over: pure functions of arrays, for whoever compiles their own.

    encode(x) -> q(z | x_0); z is decoded either by score(z) and a solver, or at once by the mean of
    likelihood(z) = p(x_0 | z): the other is None. prior: the score that knows no z, of a method that has one; decoder: as
    config.sampling says; inverter: a deterministic one, whose decodings can be undone. title: what pictures call it;
    latent_prior: the score of a diffusion model of its codes, standardised, if one was trained.
    """

    encode: Callable[[Points], DiagGaussian]
    score: Callable[[Latents], ScoreFn] | None
    prior: ScoreFn | None
    decoder: Decoder
    inverter: Decoder
    likelihood: Callable[[Latents], DiagGaussian] | None = None
    title: str = "the model"
    latent_prior: ScoreFn | None = None


class Subject(NamedTuple):
    """Images are float32 in [-1, 1]; `index` gives each example its own randomness, whatever batch it falls into.

    encode(x) -> q(z | x_0); decode(z, index, label[, x_T]) -> x, from a random x_T unless one is given;
    invert(z, x, label) -> x_T from which z decodes to x, and what it decodes to, [n, 2, ...];
    sample(index, label) -> x from the unconditional prior, or of z ~ N(0, I) if there is none;
    trajectory(z, index) -> x_t and E[x_0 | x_t, z] along a decoding, [n, stops, 2, ...].
    What decodes at once can neither be inverted nor followed. With a label, a progress bar, and the result is kept until the evaluation is complete.
    """

    model: Model
    encode: Callable[[np.ndarray], DiagGaussian]
    decode: Callable[..., np.ndarray]
    invert: Callable[[np.ndarray, np.ndarray, str], np.ndarray]
    sample: "Sampler"
    trajectory: Callable[[np.ndarray, np.ndarray], np.ndarray]
    data: Held
    judges: Judges
    parts: Parts
    latent: int
    samples: int
    batch_size: int
    seed: int

    @property
    def pictures(self) -> Path:
        """Where evaluators put theirs: they belong to this evaluation, as all of `parts` does."""
        return self.parts.directory / "pictures"


# Sampler(index, label) -> new x
Sampler = Callable[[np.ndarray, str], np.ndarray]
# An evaluator yields (name, value): a new metric is a new file, and no loop is edited for it.
Evaluator = Callable[[Subject], Iterator[tuple[str, Any]]]
