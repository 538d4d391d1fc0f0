"""New images from the prior, and whether they are new."""

from collections.abc import Iterator

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sde_vae import pictures
from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.subject import Subject

COUNT = 64


def samples(subject: Subject) -> Iterator[tuple[str, float]]:
    """Unconditional samples: x ~ prior.

    Their distance to the nearest training image is told beside that of held-out images: far smaller means copies, far larger
    means noise.
    """
    drawn = to_unit(subject.sample(np.arange(COUNT, dtype=np.int32), "sample"))
    neighbours = NearestNeighbors(n_neighbors=1).fit(_flat(to_unit(subject.train)))
    yield "samples/nearest_train_l2", float(neighbours.kneighbors(_flat(drawn))[0].mean())
    yield "samples/nearest_train_l2_of_held_out", float(neighbours.kneighbors(_flat(to_unit(subject.test)))[0].mean())
    yield "samples/n", float(COUNT)
    yield "samples/nfe", float(subject.nfe)
    pictures.grid(drawn, subject.pictures / "samples.png")


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)
