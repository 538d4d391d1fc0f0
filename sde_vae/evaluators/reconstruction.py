"""Encode the held-out images, decode them, and measure the distances; beside them two baselines, PCA and the mean image."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from sde_vae.data.dataset import evenly_spaced, to_model, to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.set_distances import compare_pairs, compare_sets, features, real_features
from sde_vae.files import write_arrays
from sde_vae.inference.aggregate_posterior import sample_posterior
from sde_vae.inference.decoding import COUNTED
from sde_vae.inference.model import latent_evaluations
from sde_vae.keys import generator
from sde_vae.metrics.image.distances import WINDOW, l2, mse, psnr, ssim, standard_error
from sde_vae.metrics.principal_components import fit_pca
from sde_vae.reporting import plots


def reconstruction(
    context: EvalContext, fitted: int = 20_000, shown: int = 12, worst: int = 12, trajectories: int = 3
) -> Iterator[tuple[str, float]]:
    """Yield reconstruction/* (z ~ q(z | x_0)), reconstruction_of_mean/* (z its mean) and baseline/{pca,mean_image}/*.

    Distances of images are means over the images. Set distances are between the reconstructions and their originals; reference/* is
    that of as many training images to the originals. Reconstructions may be below it, because they are made from their originals.

    `fitted` training images fit the baselines. The figures have the first `shown` images, the `worst` reconstructions, and the
    trajectories of the first `trajectories` images; reconstructions.npz has the images shown, as arrays.
    """
    test, figures = to_unit(context.data.test), context.figures
    index = np.arange(len(test), dtype=np.int32)
    q = context.encode(context.data.test)
    z = sample_posterior(q, generator(context.seed, "posterior"))
    decoded = context.decode(z, index, "reconstruct")
    decoded_mean = context.decode(q.mean, index, "reconstruct from the mean")
    train = to_unit(to_model(evenly_spaced(context.data.train, fitted), context.data.levels))
    found = {
        "reconstruction": to_unit(decoded),
        "reconstruction_of_mean": to_unit(decoded_mean),
        "baseline/pca": pca_reconstruction(train, test, context.latent),
        "baseline/mean_image": np.broadcast_to(train.mean(axis=0), test.shape),
    }

    yield from paper_lpips(context, decoded if context.model.likelihood is None else decoded_mean)
    originals = features(context, test, "the originals") if context.networks.extractor else None
    for name, images in found.items():
        yield from image_distances(name, context, images, test)
        if originals is not None:
            yield from compare_pairs(name, context, features(context, images, name), originals)
    if originals is not None and len(test) <= len(context.data.train):
        others = real_features(context, context.data.train, len(test), "as many training images")
        yield from compare_sets("reference", context, others, originals)
    evaluations = latent_evaluations(context.model, jnp.asarray(q.mean[:COUNTED]), test[:COUNTED].shape)
    yield "reconstruction/nfe", float(evaluations)
    yield "latent/kl", float(np.mean(q.kl_to_standard()))

    title = context.model.title
    titles = (title, f"{title}, mean z", "PCA")
    rows = {"original": test} | dict(zip(titles, found.values(), strict=False))
    plots.rows({name: images[:shown] for name, images in rows.items()}, figures / "reconstructions.png")
    arrays = {name: images[:shown] for name, images in ({"original": test} | found).items()}
    write_arrays(figures / "reconstructions.npz", **arrays)
    largest = np.argsort(-l2(found["reconstruction"], test))[:worst]
    plots.rows({name: rows[name][largest] for name in ("original", title)}, figures / "worst.png")
    if context.model.score is not None:
        plot_trajectories(context, q.mean[:trajectories], index[:trajectories])


def plot_trajectories(context: EvalContext, z: np.ndarray, index: np.ndarray) -> None:
    """Plot the decodings of a few z, from noise to image: x_t at half contrast, and E[x_0 | x_t, z]."""
    rows = {}
    for i, path in enumerate(context.trajectory(z, index), start=1):
        rows |= {f"image {i}: x_t": to_unit(path[:, 0] / 2), f"image {i}: E[x_0 | x_t, z]": to_unit(path[:, 1])}
    plots.rows(rows, context.figures / "trajectory.png")


def paper_lpips(context: EvalContext, decoded: np.ndarray) -> Iterator[tuple[str, float]]:
    """Yield paper/lpips_* as the authors of arXiv:2304.12141 computed it.

    They gave images on [0, 1], not clipped, to a network that expects [-1, 1]: half the contrast. `decoded` [n, H, W, C] on [-1, 1] is
    decoded from the posterior's mean for a method that decodes in one pass, otherwise from one sample.
    """
    # LPIPS maps [0, 1] to [-1, 1], and (x + 3) / 4 to (x + 1) / 2.
    halved = [(x + 3) / 4 for x in (decoded, context.data.test)]
    for metric, distance in context.networks.lpips.items():
        values = context.map(distance, f"{metric} by the paper's protocol", *halved).astype(np.float64)
        yield f"paper/{metric}", float(values.mean())
        yield f"paper/{metric}_stderr", standard_error(values)


def pca_reconstruction(train: np.ndarray, test: np.ndarray, components: int) -> np.ndarray:
    """Return images as `pca_projection` has them, clipped to [0, 1]."""
    return np.clip(pca_projection(train, test, components), 0, 1)


def pca_projection(train: np.ndarray, test: np.ndarray, components: int) -> np.ndarray:
    """Return `test` projected on the `components` principal components of `train` (or all it has).

    Where all training examples are equal, the projection is their mean.
    """
    pca = fit_pca(train.reshape(len(train), -1), components)
    if pca is None:
        return np.broadcast_to(train[:1], test.shape)
    back = pca.inverse_transform(pca.transform(test.reshape(len(test), -1)))
    return back.astype(np.float32).reshape(test.shape)


def image_distances(
    name: str, context: EvalContext, x: np.ndarray, y: np.ndarray, draws: int = 1
) -> Iterator[tuple[str, float]]:
    """Yield NAME/{l2,mse,psnr,ssim,lpips_*} of images x and y [n, H, W, C] on [0, 1], with standard errors; SSIM where its window fits.

    x has `draws` images in a row for each of y; the errors are over the images of y.
    """
    y = np.repeat(y, draws, axis=0)
    metrics = {"l2": l2, "mse": mse, "psnr": psnr} | ({"ssim": ssim} if min(x.shape[1:3]) >= WINDOW else {})
    for metric, distance in (metrics | context.networks.lpips).items():
        label = f"{metric} of {name}" if metric in context.networks.lpips else None
        values = context.map(distance, label, x, y).astype(np.float64).reshape(-1, draws).mean(axis=1)
        yield f"{name}/{metric}", float(values.mean())
        yield f"{name}/{metric}_stderr", standard_error(values)
