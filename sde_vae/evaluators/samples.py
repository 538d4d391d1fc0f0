"""New images from the prior: how far they are from the training set as a set, and whether each is new."""

from collections.abc import Iterator

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sde_vae import pictures
from sde_vae.data.dataset import spread, to_model, to_unit
from sde_vae.evaluators.distribution import compare_sets, fd_name, features, real_features, train_moments
from sde_vae.evaluators.subject import Subject
from sde_vae.metrics.frechet import frechet_distance, moments

SHOWN = 64
# Nearest neighbours are sought for this many samples, among this many training images.
SOUGHT, AMONG = 256, 20_000


def samples(subject: Subject) -> Iterator[tuple[str, float]]:
    """Unconditional samples: x ~ prior.

    Frechet's distance is to the whole training set, beside that of as many held-out images (samples/floor, at samples/floor_n).
    The distance to the nearest training image is told beside that of held-out images: far smaller means copies, far larger
    means noise.
    """
    drawn = to_unit(subject.sample(np.arange(subject.samples, dtype=np.int32), "sample"))
    test = to_unit(subject.data.test)
    pictures.grid(drawn[:SHOWN], subject.pictures / "samples.png")
    yield "samples/n", float(len(drawn))
    yield "samples/nfe", float(subject.nfe)

    neighbours = NearestNeighbors(n_neighbors=1).fit(
        _flat(to_unit(to_model(spread(subject.data.train, AMONG), subject.data.levels)))
    )
    yield "samples/nearest_train_l2", float(neighbours.kneighbors(_flat(drawn[:SOUGHT]))[0].mean())
    yield "samples/nearest_train_l2_of_held_out", float(neighbours.kneighbors(_flat(test[:SOUGHT]))[0].mean())

    if subject.judges.extractor:
        fd = fd_name(subject.judges.extractor)
        real = train_moments(subject)
        ours = features(subject, drawn, "features of samples")
        yield f"samples/{fd}", frechet_distance(moments(ours), real)
        held_out = features(subject, test[: len(drawn)], "features of held-out images")
        yield f"samples/{fd}_floor", frechet_distance(moments(held_out), real)
        yield f"samples/{fd}_floor_n", float(len(held_out))
        some = real_features(subject, min(len(drawn), len(subject.data.train)))
        yield from (pair for pair in compare_sets("samples", subject, ours, some) if "/kid" in pair[0])


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)
