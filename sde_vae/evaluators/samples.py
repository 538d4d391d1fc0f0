"""New images: the distance of their set to the training set, and that of each to its nearest training image."""

from collections.abc import Iterator

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sde_vae.data.dataset import evenly_spaced, to_model, to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.set_distances import compare_to_train, features, real_features
from sde_vae.inference.decoding import COUNTED
from sde_vae.inference.sampling import sample_evaluations
from sde_vae.reporting import plots


def samples(
    context: EvalContext, shown: int = 64, images: int = 256, train_images: int = 20_000
) -> Iterator[tuple[str, float]]:
    """Yield metrics of unconditional samples: x ~ prior, or decodings of z ~ N(0, I) for a method without a prior of x.

    samples/nearest_train_l2 is the distance to the nearest of `train_images` training images, the mean over `images` samples;
    nearest_train_l2_of_held_out is that of held-out images. Far smaller distances mean copies, far larger ones noise. The figure has the
    first `shown` samples. With an extractor, set distances too.
    """
    new = to_unit(context.sample(np.arange(context.samples, dtype=np.int32), "sample"))
    test = to_unit(context.data.test)
    plots.grid(new[:shown], context.figures / "samples.png", columns=16)
    yield "samples/n", float(len(new))
    yield "samples/nfe", float(sample_evaluations(context.model, context.latent, test[:COUNTED].shape))

    train = to_unit(to_model(evenly_spaced(context.data.train, train_images), context.data.levels))
    neighbours = NearestNeighbors(n_neighbors=1).fit(_flat(train))
    yield "samples/nearest_train_l2", float(neighbours.kneighbors(_flat(new[:images]))[0].mean())
    yield "samples/nearest_train_l2_of_held_out", float(neighbours.kneighbors(_flat(test[:images]))[0].mean())

    if context.networks.extractor:
        yield from set_distances(context, new)


def set_distances(context: EvalContext, new: np.ndarray) -> Iterator[tuple[str, float]]:
    """Yield samples/fd_* to the whole training set and samples/kid_* to a part of it, and as *_reference those of held-out images.

    There are as many held-out images as new ones, or all there are: samples/reference_n.
    """
    held_out = context.data.held_out
    n = min(len(new), len(held_out))
    yield from compare_to_train("samples", context, features(context, new, "the samples"), len(new))
    reference = real_features(context, held_out, n, "held-out images")
    for name, value in compare_to_train("samples", context, reference, len(new)):
        yield f"{name.removesuffix('_stderr')}_reference{'_stderr' if name.endswith('_stderr') else ''}", value
    yield "samples/reference_n", float(n)


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)
