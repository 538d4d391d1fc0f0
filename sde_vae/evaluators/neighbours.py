"""The training images nearest to a held-out image: in the latent space, and in the space of pixels."""

from collections.abc import Iterator

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sde_vae.data.dataset import take, to_model, to_unit
from sde_vae.evaluators.context import EvalContext, encode_train
from sde_vae.evaluators.latent_factors import are_classes
from sde_vae.metrics.image.distances import standard_error
from sde_vae.reporting import plots

NEAREST = {"latent": "in the latent space", "pixels": "in pixels"}


def neighbours(
    context: EvalContext, k: int = 5, train_images: int = 10_000, images: int = 500, shown: int = 5
) -> Iterator[tuple[str, float]]:
    """Yield latent/neighbours/{latent,pixels}: the share of the k nearest of the image's class, if there are some.

    The class is the first attribute that is one.

    latent/neighbours/chance is the share among all. Distances are Euclidean, of posterior means and of images. The nearest of
    `train_images` training images are found for the first `images` test images; the figure has the first `shown`.
    """
    data = context.data
    rows, q = encode_train(context, train_images)
    train = to_unit(to_model(take(data.train, rows), data.levels))
    queries = data.test[:images]
    spaces = {
        "latent": (q.mean, context.encode(queries).mean),
        "pixels": (train.reshape(len(train), -1), to_unit(queries).reshape(len(queries), -1)),
    }
    k = min(k, len(train))
    nearest = {
        name: NearestNeighbors(n_neighbors=k).fit(candidates).kneighbors(points, return_distance=False)
        for name, (candidates, points) in spaces.items()
    }
    frames = {
        f"image {i + 1}: nearest {NEAREST[name]}": np.concatenate([to_unit(queries[i : i + 1]), train[found[i]]])
        for i in range(min(shown, len(queries)))
        for name, found in nearest.items()
    }
    plots.rows(frames, context.figures / "neighbours.png")
    if data.attributes is None:
        return
    column = next((k for k, values in enumerate(data.attributes.train.T) if are_classes(values)), None)
    if column is None:
        return
    of_train, of_query = data.attributes.train[rows, column], data.attributes.test[: len(queries), column]
    shares = {name: (of_train[found] == of_query[:, None]).mean(axis=1) for name, found in nearest.items()}
    shares["chance"] = (of_train[None] == of_query[:, None]).mean(axis=1)
    for name, share in shares.items():
        yield f"latent/neighbours/{name}", float(share.mean())
        yield f"latent/neighbours/{name}_stderr", standard_error(share)
    yield "latent/neighbours/k", float(k)
    yield "latent/neighbours/among", float(len(rows))
