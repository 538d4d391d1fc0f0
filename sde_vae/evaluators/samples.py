"""New images from the prior: how far they are from the training set as a set, and whether each is new."""

from collections.abc import Iterator

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sde_vae import pictures
from sde_vae.data.dataset import spread, to_model, to_unit
from sde_vae.evaluators.decoding import COUNTED, evaluations
from sde_vae.evaluators.distribution import fd_name, features, kid_named, real_features, train_moments
from sde_vae.evaluators.subject import Subject
from sde_vae.metrics.frechet import frechet_distance, moments
from sde_vae.metrics.kid import kid

SHOWN = 64
# Nearest neighbours are sought for this many samples, among this many training images.
SOUGHT, AMONG = 256, 20_000


def samples(subject: Subject) -> Iterator[tuple[str, float]]:
    """Unconditional samples: x ~ prior.

    The distance to the nearest training image is told beside that of held-out images: far smaller means copies, far larger
    means noise.
    """
    drawn = to_unit(subject.sample(np.arange(subject.samples, dtype=np.int32), "sample"))
    test = to_unit(subject.data.test)
    pictures.grid(drawn[:SHOWN], subject.pictures / "samples.png")
    yield "samples/n", float(len(drawn))
    yield "samples/nfe", float(evaluations(subject.model.decoder, subject.model.prior, test[:COUNTED].shape))

    neighbours = NearestNeighbors(n_neighbors=1).fit(
        _flat(to_unit(to_model(spread(subject.data.train, AMONG), subject.data.levels)))
    )
    yield "samples/nearest_train_l2", float(neighbours.kneighbors(_flat(drawn[:SOUGHT]))[0].mean())
    yield "samples/nearest_train_l2_of_held_out", float(neighbours.kneighbors(_flat(test[:SOUGHT]))[0].mean())

    if subject.judges.extractor:
        yield from of_sets(subject, drawn)


def of_sets(subject: Subject, drawn: np.ndarray) -> Iterator[tuple[str, float]]:
    """Frechet's distance to the whole training set and KID to a part of it; both for as many held-out images, if there are."""
    data, fd = subject.data, fd_name(subject.judges.extractor)
    n = min(len(drawn), len(data.held_out))
    whole = train_moments(subject)
    part = real_features(subject, data.train, len(drawn), "training images")
    ours = features(subject, drawn, "the samples")
    held_out = real_features(subject, data.held_out, n, "held-out images")
    yield f"samples/{fd}", frechet_distance(moments(ours), whole)
    yield f"samples/{fd}_floor", frechet_distance(moments(held_out), whole)
    yield from kid_named("samples", subject, kid(ours, part))
    for name, value in kid_named("samples", subject, kid(held_out, part)):
        yield f"{name.removesuffix('_stderr')}_floor{'_stderr' if name.endswith('_stderr') else ''}", value
    yield "samples/floor_n", float(n)


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)
