"""Encode the held-out images, decode them, and compare; beside them the baselines that any auto-encoder must beat."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import PCA

from sde_vae.data.dataset import evenly_spaced, to_model, to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.set_distances import compare_pairs, compare_sets, features, real_features
from sde_vae.inference.aggregate_posterior import sample_posterior
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.decoding import COUNTED
from sde_vae.inference.model import latent_evaluations
from sde_vae.metrics.image.distances import WINDOW, l2, mse, psnr, ssim, standard_error
from sde_vae.reporting import plots

SHOWN = 12
WORST = 16
FOLLOWED = 3
# PCA and the mean image are fitted to this many training images at most.
FITTED = 20_000


def reconstruction(context: EvalContext) -> Iterator[tuple[str, float]]:
    """One decoding of one z ~ q(z | x_0), and one of the posterior's mean; the mean image and PCA on the same images.

    Distances are per image; Frechet's distance and KID are between the set of reconstructions and the set of their originals.
    Beside these two stands what they are between as many other real images and the originals ("reference"): reconstructions may
    fall below it, because they know their originals.
    """
    test = to_unit(context.data.test)
    index = np.arange(len(test), dtype=np.int32)
    q = context.encode(context.data.test)
    z = sample_posterior(q, np.random.default_rng(context.seed))
    decoded = context.decode(z, index, "reconstruct")
    decoded_mean = context.decode(q.mean, index, "reconstruct from the mean")
    drawn, of_mean = to_unit(decoded), to_unit(decoded_mean)
    train = to_unit(to_model(evenly_spaced(context.data.train, FITTED), context.data.levels))
    rows = {
        "reconstruction": drawn,
        "reconstruction_of_mean": of_mean,
        "baseline/pca": by_pca(train, test, context.latent),
        "baseline/mean_image": np.broadcast_to(train.mean(axis=0), test.shape),
    }

    at_once = context.model.likelihood is not None
    yield from by_papers_rule(context, decoded_mean if at_once else decoded)
    originals = features(context, test, "the originals") if context.networks.extractor else None
    for name, images in rows.items():
        yield from compare(name, context, images, test)
        if originals is not None:
            yield from compare_pairs(name, context, features(context, images, name), originals)
    if originals is not None and len(test) <= len(context.data.train):
        others = real_features(context, context.data.train, len(test), "as many training images")
        yield from compare_sets("reference", context, others, originals)
    yield (
        "reconstruction/nfe",
        float(latent_evaluations(context.model, jnp.asarray(q.mean[:COUNTED]), test[:COUNTED].shape)),
    )
    yield "latent/kl", float(np.mean(q.kl_to_standard()))

    title = context.model.title
    titles = (title, f"{title}, mean z", "PCA")
    shown = {"original": test} | dict(zip(titles, rows.values(), strict=False))
    out = context.figures
    few = {title: images[:SHOWN] for title, images in shown.items()}
    plots.rows(few, out / "reconstructions.png")
    # The same as numbers, for who wants to put several models' side by side.
    np.savez(
        out / "reconstructions.npz", **{name: images[:SHOWN] for name, images in ({"original": test} | rows).items()}
    )
    worst = np.argsort(-l2(drawn, test))[:WORST]
    plots.rows({title: shown[title][worst] for title in ("original", title)}, out / "worst.png")
    if context.model.score is not None:
        follow(context, q.mean[:FOLLOWED], index[:FOLLOWED])


def follow(context: EvalContext, z: np.ndarray, index: np.ndarray) -> None:
    """Draw the decodings of a few z, from noise to image: x_t (at half contrast) above, the decoder's guess at x_0 below."""
    named = {}
    for i, path in enumerate(context.trajectory(z, index), start=1):
        named |= {f"{i}: x_t": to_unit(path[:, 0] / 2), f"E[x_0 | x_t, z]{' ' * i}": to_unit(path[:, 1])}
    plots.rows(named, context.figures / "trajectory.png")


def by_papers_rule(context: EvalContext, decoded: np.ndarray) -> Iterator[tuple[str, float]]:
    """paper/lpips_*, as the authors of arXiv:2304.12141 computed it: images on [0, 1], not clipped, given to a network that expects
    [-1, 1], at half their contrast. `decoded` is of the posterior's mean where a method decodes at once, else of one sample.
    """
    # LPIPS maps [0, 1] to [-1, 1]: it is told that which it maps to (x + 1) / 2.
    halved = [(x + 3) / 4 for x in (decoded, context.data.test)]
    for metric, distance in context.networks.lpips.items():
        label = f"{metric} by the paper's rule"
        values = batched_map(distance, context.batch_size, *halved, label=label, cache=context.cache).astype(np.float64)
        yield f"paper/{metric}", float(values.mean())
        yield f"paper/{metric}_stderr", standard_error(values)


def by_pca(train: np.ndarray, test: np.ndarray, components: int) -> np.ndarray:
    """`test` through the `components` principal components of `train` (or all it has) and back, clipped to [0, 1]."""
    flat = train.reshape(len(train), -1)
    components = min(components, *flat.shape)
    # Exact where that is cheap; randomised for large images, with enough iterations to make no difference.
    exact = flat.shape[1] <= 1024
    pca = PCA(components, svd_solver="covariance_eigh" if exact else "randomized", iterated_power=7, random_state=0)
    back = pca.fit(flat).transform(test.reshape(len(test), -1))
    return np.clip(pca.inverse_transform(back), 0, 1).astype(np.float32).reshape(test.shape)


def compare(name: str, context: EvalContext, x: np.ndarray, y: np.ndarray) -> Iterator[tuple[str, float]]:
    """name/l2, mse, ... with their standard errors over the images; SSIM where its window fits."""
    metrics = {"l2": l2, "mse": mse, "psnr": psnr} | ({"ssim": ssim} if min(x.shape[1:3]) >= WINDOW else {})
    for metric, distance in (metrics | context.networks.lpips).items():
        label = f"{metric} of {name}" if metric in context.networks.lpips else None
        values = batched_map(distance, context.batch_size, x, y, label=label, cache=context.cache).astype(np.float64)
        yield f"{name}/{metric}", float(values.mean())
        yield f"{name}/{metric}_stderr", standard_error(values)
