"""New images from the prior: how far they are from the training set as a set, and whether each is new."""

from collections.abc import Iterator

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sde_vae.data.dataset import evenly_spaced, to_model, to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.set_distances import against_train, features, real_features
from sde_vae.inference.decoding import COUNTED
from sde_vae.inference.sampling import sample_evaluations
from sde_vae.reporting import plots

SHOWN = 64
# Nearest neighbours are sought for this many samples, among this many training images.
SOUGHT, AMONG = 256, 20_000


def samples(context: EvalContext) -> Iterator[tuple[str, float]]:
    """Unconditional samples: x ~ prior, or the decodings of z ~ N(0, I) if there is no prior of x.

    The distance to the nearest training image is told beside that of held-out images: far smaller means copies, far larger
    means noise.
    """
    drawn = to_unit(context.sample(np.arange(context.samples, dtype=np.int32), "sample"))
    test = to_unit(context.data.test)
    plots.grid(drawn[:SHOWN], context.figures / "samples.png")
    yield "samples/n", float(len(drawn))
    yield "samples/nfe", float(sample_evaluations(context.model, context.latent, test[:COUNTED].shape))

    neighbours = NearestNeighbors(n_neighbors=1).fit(
        _flat(to_unit(to_model(evenly_spaced(context.data.train, AMONG), context.data.levels)))
    )
    yield "samples/nearest_train_l2", float(neighbours.kneighbors(_flat(drawn[:SOUGHT]))[0].mean())
    yield "samples/nearest_train_l2_of_held_out", float(neighbours.kneighbors(_flat(test[:SOUGHT]))[0].mean())

    if context.networks.extractor:
        yield from of_sets(context, drawn)


def of_sets(context: EvalContext, drawn: np.ndarray) -> Iterator[tuple[str, float]]:
    """Frechet's distance to the whole training set and KID to a part of it; both for as many held-out images, if there are."""
    held_out = context.data.held_out
    n = min(len(drawn), len(held_out))
    yield from against_train("samples", context, features(context, drawn, "the samples"), len(drawn))
    floor = real_features(context, held_out, n, "held-out images")
    for name, value in against_train("samples", context, floor, len(drawn)):
        yield f"{name.removesuffix('_stderr')}_reference{'_stderr' if name.endswith('_stderr') else ''}", value
    yield "samples/reference_n", float(n)


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)
