"""The arguments of evaluators: a trained model on host arrays, the data, and the networks of the metrics."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from sde_vae.data.dataset import Images
from sde_vae.data.scaling import Standardisation
from sde_vae.devices import over_devices, replicate
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.inference.aggregate_posterior import encode_images
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.compiled import compile_model
from sde_vae.inference.model import Model
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.keys import stream
from sde_vae.methods.observation import Measurement
from sde_vae.metrics.sets.extractors import Extractor


class MetricNetworks(NamedTuple):
    """The networks of metrics.

    lpips      metric name -> distance(x, y) of images on [0, 1]
    extractor  features for FD and KID, or None
    weights    network -> which weights it has, reported beside its figures
    moments    folder where the moments of real images are kept
    """

    lpips: dict[str, Callable]
    extractor: Extractor | None
    weights: dict[str, str]
    moments: Path


class Attributes(NamedTuple):
    """Attributes of the images: numbers, one row for each image of `train` or `test`, one column for each name.

    `values` has the names of an attribute's values 0, 1, ..., where they have names.
    """

    names: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray
    values: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    def value_name(self, name: str, value: int) -> str:
        """Return the name of an attribute's value, or its number where the values have no names."""
        return self.values[name][value] if name in self.values else str(value)


class EvalData(NamedTuple):
    """The data of an evaluation.

    train and held_out are uint8 with grey levels 0 .. levels - 1, perhaps not in memory. test has the first images of held_out, float32 in
    [-1, 1]: most metrics are of them. name and fingerprint (of train) identify the data. attributes are of train and test, or None.
    render draws an image from its attributes, as in data.dataset.Dataset, or is None. Of arrays that are no images all are standardised by
    `scaling`, and levels is 0. label is the attribute that conditions the prior, or empty.
    """

    name: str
    fingerprint: str
    levels: int
    train: Images
    held_out: Images
    test: np.ndarray
    attributes: Attributes | None = None
    render: Callable[[dict[str, int], int], np.ndarray] | None = None
    scaling: Standardisation | None = None
    label: str = ""


class EvalContext(NamedTuple):
    """Everything an evaluator reads. encode, decode, invert, sample and trajectory are those of `inference.compiled.Compiled`, with keys of the evaluation's seed.

    decode_with(key, ...) is `decode` with another key. `measurement` is what a conditional method observes of an image.
    `latent` is the number of latent dimensions, `samples` the number of new images, and `batch_size` the number of examples that a device
    has at once. Results with a label are kept in `cache` until the evaluation is complete.
    """

    model: Model
    encode: Callable[..., DiagGaussian]
    decode: Callable[..., np.ndarray]
    invert: Callable[..., np.ndarray]
    sample: Callable[..., np.ndarray]
    trajectory: Callable[..., np.ndarray]
    data: EvalData
    networks: MetricNetworks
    cache: ResumeCache
    latent: int
    samples: int
    batch_size: int
    seed: int
    decode_with: Callable[..., np.ndarray]
    measurement: Measurement | None = None

    def compile(self, purpose: str, function: Callable, *more: Any) -> Callable:
        """Compile function(params, key, *more, *rows) for all devices, with the model's parameters and the key of a purpose in `keys`.

        Returns a function of `rows`, arrays with examples on their first axis. It may not depend on how many it is given at once.
        """
        shared = (self.model.params, stream(self.seed, purpose), *more)
        return partial(over_devices(function, shared=len(shared)), *replicate(shared))

    def map(self, function: Callable, label: str | None, *rows: Any) -> np.ndarray:
        """Return function(*rows) over all rows, as host arrays; what has a label is kept in the cache."""
        return batched_map(function, self.batch_size, *rows, label=label, cache=self.cache)

    @property
    def extractor(self) -> Extractor:
        """The extractor of FD and KID. Raises TypeError where the evaluation has none."""
        if self.networks.extractor is None:
            raise TypeError("this evaluation has no extractor: config.eval.extractor is none")
        return self.networks.extractor

    @property
    def figures(self) -> Path:
        """The folder where evaluators save their figures; it belongs to this evaluation, as all of `cache` does."""
        return self.cache.directory / "figures"


# An evaluator yields (metric name, value). Its settings are keyword arguments with defaults; functools.partial changes them.
Evaluator = Callable[[EvalContext], Iterator[tuple[str, Any]]]


def make_context(
    model: Model,
    data: EvalData,
    networks: MetricNetworks,
    cache: ResumeCache,
    latent: int,
    samples: int,
    batch_size: int,
    seed: int,
    measurement: Measurement | None = None,
    shape: tuple[int, ...] | None = None,
) -> EvalContext:
    """Compile `model` for the images of `data`, or for those of another `shape` where the data are pairs."""
    compiled = compile_model(model, shape or data.test.shape[1:], latent, batch_size, cache)
    decoding = stream(seed, "decode")
    return EvalContext(
        model=model,
        encode=compiled.encode,
        decode=partial(compiled.decode, decoding),
        invert=compiled.invert,
        sample=partial(compiled.sample, stream(seed, "sample")),
        trajectory=partial(compiled.trajectory, decoding),
        data=data,
        networks=networks,
        cache=cache,
        latent=latent,
        samples=samples,
        batch_size=batch_size,
        seed=seed,
        decode_with=compiled.decode,
        measurement=measurement,
    )


def encode_train(context: EvalContext, most: int) -> tuple[np.ndarray, DiagGaussian]:
    """Return (index [n] of training images, their posteriors [n, latent]): at most `most` of them, evenly spaced."""
    return encode_images(context.encode, context.data.train, context.data.levels, most)
