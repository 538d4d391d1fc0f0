"""What lies near a held-out image among the training images: in the latent space, and in the space of pixels."""

from collections.abc import Iterator

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sde_vae.data.dataset import take, to_model, to_unit
from sde_vae.evaluators.context import EvalContext, encode_train
from sde_vae.metrics.image.distances import standard_error
from sde_vae.reporting import plots

# The nearest K of so many training images, of so many held-out ones; so many are drawn.
K, AMONG, QUERIES, DRAWN = 5, 10_000, 500, 5


def neighbours(context: EvalContext) -> Iterator[tuple[str, float]]:
    """latent/neighbours/{latent,pixels}: the share of the K nearest that have the image's first attribute, where there is one;
    latent/neighbours/chance: of K drawn at random.

    Distances are Euclidean: of posterior means, and of images.
    """
    data = context.data
    rows, q = encode_train(context, AMONG)
    train = to_unit(to_model(take(data.train, rows), data.levels))
    queries = data.test[:QUERIES]
    among = {
        "latent": (q.mean, context.encode(queries).mean),
        "pixels": (train.reshape(len(train), -1), to_unit(queries).reshape(len(queries), -1)),
    }
    k = min(K, len(train))
    near = {
        name: NearestNeighbors(n_neighbors=k).fit(there).kneighbors(here, return_distance=False)
        for name, (there, here) in among.items()
    }
    named = {
        f"{i + 1}: nearest in {name}": np.concatenate([to_unit(queries[i : i + 1]), train[found[i]]])
        for i in range(min(DRAWN, len(queries)))
        for name, found in near.items()
    }
    plots.rows(named, context.figures / "neighbours.png")
    if data.attributes is None:
        return
    of_train, of_query = data.attributes.train[rows, 0], data.attributes.test[: len(queries), 0]
    shares = {name: (of_train[found] == of_query[:, None]).mean(axis=1) for name, found in near.items()}
    shares["chance"] = (of_train[None] == of_query[:, None]).mean(axis=1)
    for name, share in shares.items():
        yield f"latent/neighbours/{name}", float(share.mean())
        yield f"latent/neighbours/{name}_stderr", standard_error(share)
    yield "latent/neighbours/k", float(k)
    yield "latent/neighbours/among", float(len(rows))
