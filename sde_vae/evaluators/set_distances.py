"""Distances between sets of images, by the extractor's features: the Frechet distance and KID."""

from collections.abc import Iterator

import jax
import numpy as np
from tqdm import tqdm

from sde_vae.data.dataset import Images, evenly_spaced, take, to_bytes, to_model, to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.metrics.sets.extractors import Extractor
from sde_vae.metrics.sets.frechet import Moments, frechet_distance, moments, moments_of
from sde_vae.metrics.sets.kid import KID, kid, kid_of_pairs
from sde_vae.metrics.sets.moments_cache import cached_moments

Named = Iterator[tuple[str, float]]
# KID takes two subsets of two images of each set; the distances are left out, with a line, for smaller sets.
FEWEST = 4


def fd_name(extractor: Extractor) -> str:
    """Return "fid" for the published Inception, and only for it; otherwise fd_EXTRACTOR."""
    return "fid" if extractor.name == "inception" and extractor.verified else f"fd_{extractor.name}"


def features(context: EvalContext, images: np.ndarray, label: str) -> np.ndarray:
    """Return the extractor's features of images on [0, 1]: [n, dim] float32."""
    return context.map(context.extractor.features, f"features of {label}", to_bytes(images))


def real_features(context: EvalContext, images: Images, n: int, label: str) -> np.ndarray:
    """Return the features of n of the uint8 images, evenly spaced: [n, dim]."""
    return features(context, to_unit(to_model(evenly_spaced(images, n), context.data.levels)), label)


def train_moments(context: EvalContext) -> Moments:
    """Return the moments of the features of the whole training set; they are kept on disk."""
    data, extractor = context.data, context.extractor
    n = len(data.train)

    def make() -> Moments:
        size = context.batch_size * len(jax.local_devices())
        starts = tqdm(range(0, n, size), desc="features of the training set", unit="batch")
        chunks = (take(data.train, np.arange(s, min(s + size, n))) for s in starts)
        return moments_of(extractor, (to_bytes(to_unit(to_model(chunk, data.levels))) for chunk in chunks))

    key = {
        "dataset": data.name,
        "split": "train",
        "n": n,
        "extractor": extractor.name,
        "identity": extractor.identity,
        "fingerprint": data.fingerprint,
        "levels": data.levels,
    }
    # A folder for each set of images: the same data at another size or crop is another set under the same name.
    return cached_moments(context.networks.moments / data.fingerprint[:16], key, make)


def kid_metrics(name: str, context: EvalContext, found: KID) -> Named:
    """Yield NAME/kid_EXTRACTOR and its standard error."""
    full = f"{name}/kid_{context.extractor.name}"
    yield full, found.value
    yield f"{full}_stderr", found.standard_error


def compare_pairs(name: str, context: EvalContext, ours: np.ndarray, theirs: np.ndarray) -> Named:
    """Yield NAME/fd_* and NAME/kid_* of features [n, dim], image i of `ours` made from image i of `theirs`."""
    if enough(name, len(ours)):
        yield f"{name}/{fd_name(context.extractor)}", frechet_distance(moments(ours), moments(theirs))
        yield from kid_metrics(name, context, kid_of_pairs(ours, theirs))


def compare_sets(name: str, context: EvalContext, ours: np.ndarray, theirs: np.ndarray) -> Named:
    """Yield NAME/fd_* and NAME/kid_* of the features of two independent sets."""
    if enough(name, len(ours), len(theirs)):
        yield f"{name}/{fd_name(context.extractor)}", frechet_distance(moments(ours), moments(theirs))
        yield from kid_metrics(name, context, kid(ours, theirs))


def compare_to_train(name: str, context: EvalContext, ours: np.ndarray, n: int) -> Named:
    """Yield NAME/fd_* of features to the whole training set, and NAME/kid_* to n of its images, evenly spaced."""
    if enough(name, len(ours), len(context.data.train)):
        part = real_features(context, context.data.train, n, "training images")
        yield f"{name}/{fd_name(context.extractor)}", frechet_distance(moments(ours), train_moments(context))
        yield from kid_metrics(name, context, kid(ours, part))


def enough(name: str, *images: int) -> bool:
    """Return whether sets of so many images have distances; if not, say which are left out."""
    if min(images) < FEWEST:
        print(f"note: {name}: no distances of sets: they take {FEWEST} images of each, got {min(images)}")
    return min(images) >= FEWEST
