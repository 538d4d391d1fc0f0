"""Encode the held-out images, decode them, and compare; beside them the baselines that any auto-encoder must beat."""

from collections.abc import Iterator

import numpy as np
from sklearn.decomposition import PCA

from sde_vae import pictures
from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.subject import Subject
from sde_vae.metrics.images import l2, mse, standard_error

SHOWN = 12


def reconstruction(subject: Subject) -> Iterator[tuple[str, float]]:
    """One decoding of one z ~ q(z | x_0), and one of the posterior's mean; the mean image and PCA on the same images."""
    test = to_unit(subject.test)
    index = np.arange(len(test), dtype=np.int32)
    q = subject.encode(subject.test)
    noise = np.random.default_rng(subject.seed).standard_normal(q.mean.shape, np.float32)
    drawn = to_unit(subject.decode(q.mean + np.exp(0.5 * q.log_var) * noise, index, "reconstruct"))
    of_mean = to_unit(subject.decode(q.mean, index, "reconstruct from the mean"))

    yield from compare("reconstruction", drawn, test)
    yield "reconstruction/nfe", float(subject.nfe)
    yield from compare("reconstruction_of_mean", of_mean, test)
    yield "latent/kl", float(np.mean(q.kl_to_standard()))

    train = to_unit(subject.train)
    mean_image = np.broadcast_to(train.mean(axis=0), test.shape)
    of_pca = by_pca(train, test, subject.latent)
    yield from compare("baseline/mean_image", mean_image, test)
    yield from compare("baseline/pca", of_pca, test)

    rows = {"original": test, "ScoreVAE": drawn, "ScoreVAE, mean z": of_mean, f"PCA, {subject.latent}": of_pca}
    pictures.rows({name: images[:SHOWN] for name, images in rows.items()}, subject.pictures / "reconstructions.png")


def by_pca(train: np.ndarray, test: np.ndarray, components: int) -> np.ndarray:
    """`test` through the `components` principal components of `train` and back, clipped to [0, 1]."""
    pca = PCA(components, svd_solver="full").fit(train.reshape(len(train), -1))
    back = pca.inverse_transform(pca.transform(test.reshape(len(test), -1)))
    return np.clip(back, 0, 1).reshape(test.shape)


def compare(name: str, x: np.ndarray, y: np.ndarray) -> Iterator[tuple[str, float]]:
    """name/l2 and name/mse with their standard errors over the images."""
    for metric in (l2, mse):
        values = metric(x, y)
        yield f"{name}/{metric.__name__}", float(values.mean())
        yield f"{name}/{metric.__name__}_stderr", standard_error(values)
