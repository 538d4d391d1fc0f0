"""How far one set of images is from another, by the features of the extractor: Frechet's distance and KID."""

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from sde_vae.data.dataset import Images, evenly_spaced, take, to_model, to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.inference.batched_map import batched_map
from sde_vae.metrics.sets.extractors import Extractor
from sde_vae.metrics.sets.frechet import Moments, frechet_distance, moments, moments_of
from sde_vae.metrics.sets.kid import KID, kid, kid_of_pairs
from sde_vae.metrics.sets.moments_cache import cached_moments

Named = Iterator[tuple[str, float]]


def fd_name(extractor: Extractor) -> str:
    """ "fid" is only ever the standard one: that of the published weights."""
    return "fid" if extractor.name == "inception" and extractor.verified else f"fd_{extractor.name}"


def to_bytes(images: np.ndarray) -> np.ndarray:
    """[0, 1] -> uint8: images as they would be saved."""
    return np.round(images * 255).astype(np.uint8)


def features(context: EvalContext, images: np.ndarray, label: str) -> np.ndarray:
    """Of images on [0, 1]: [n, dim] float32."""
    extract, size = context.networks.extractor.features, context.batch_size
    return batched_map(extract, size, to_bytes(images), label=f"features of {label}", cache=context.cache)


def real_features(context: EvalContext, images: Images, n: int, label: str) -> np.ndarray:
    """Of n of them, evenly spaced."""
    return features(context, to_unit(to_model(evenly_spaced(images, n), context.data.levels)), label)


def train_moments(context: EvalContext) -> Moments:
    """Of the whole training set, kept on disk."""
    data, extractor = context.data, context.networks.extractor
    n = len(data.train)

    def make() -> Moments:
        starts = tqdm(range(0, n, context.batch_size), desc="features of the training set", unit="batch")
        chunks = (take(data.train, np.arange(s, min(s + context.batch_size, n))) for s in starts)
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


def kid_named(name: str, context: EvalContext, found: KID) -> Named:
    full = f"{name}/kid_{context.networks.extractor.name}"
    yield full, found.value
    yield f"{full}_stderr", found.standard_error


def compare_pairs(name: str, context: EvalContext, ours: np.ndarray, theirs: np.ndarray) -> Named:
    """name/fd_* and name/kid_* of features of images, ours[i] made from theirs[i]."""
    yield f"{name}/{fd_name(context.networks.extractor)}", frechet_distance(moments(ours), moments(theirs))
    yield from kid_named(name, context, kid_of_pairs(ours, theirs))


def compare_sets(name: str, context: EvalContext, ours: np.ndarray, theirs: np.ndarray) -> Named:
    """The same of two independent sets."""
    yield f"{name}/{fd_name(context.networks.extractor)}", frechet_distance(moments(ours), moments(theirs))
    yield from kid_named(name, context, kid(ours, theirs))


def against_train(name: str, context: EvalContext, ours: np.ndarray, n: int) -> Named:
    """name/fd_* of features of images to the whole training set, and name/kid_* to n of it, evenly spaced."""
    part = real_features(context, context.data.train, n, "training images")
    yield f"{name}/{fd_name(context.networks.extractor)}", frechet_distance(moments(ours), train_moments(context))
    yield from kid_named(name, context, kid(ours, part))
