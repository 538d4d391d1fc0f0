"""Estimate an image from several decodings of its posterior, and from one evaluation of the score.

The squared error of a single decoding of a single z has the conditional variance twice: of x_0 given z, and of the noise drawn in
its place. Two estimates avoid the second part:

    multi_sample_mean   the mean of K decodings, each of its own z ~ q(z | x_0), x_T and noise
    one_step            E[x_0 | x_T, z] by one evaluation of the score at t = T, with z the posterior's mean and x_T = 0, the mean of its
                        law; the score's error is divided by alpha(T), which is small

The Frechet distance over all K decodings of every image has 1/K of the upward bias that sampling gives it (arXiv:1911.07023). The bias
by the number of originals stays, so it compares only with that of other methods' K decodings.
"""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.reconstruction import image_distances
from sde_vae.evaluators.set_distances import fd_name, features
from sde_vae.inference.aggregate_posterior import sample_posterior
from sde_vae.inference.model import ModelParams
from sde_vae.keys import generator
from sde_vae.methods.method import required
from sde_vae.metrics.sets.frechet import frechet_distance, merge, moments
from sde_vae.reporting import plots
from sde_vae.solvers.step import denoise
from sde_vae.types import Latents, Points, PRNGKey


def multi_sample(context: EvalContext, decodings: int = 8, shown: int = 12) -> Iterator[tuple[str, float]]:
    """Yield multi_sample_mean/DISTANCE and, for a method with a score, one_step/DISTANCE, with standard errors over the images.

    With an extractor, multi_sample/fd_* over all `decodings` of every image too, and their number multi_sample/n. The figure has the
    first `shown` images.
    """
    test, q = to_unit(context.data.test), context.encode(context.data.test)
    n, rng, total, pooled = (
        len(test),
        generator(context.seed, "posterior, several decodings"),
        np.zeros(test.shape),
        None,
    )
    for k in range(decodings):
        z = sample_posterior(q, rng)
        # Noise of its own for each decoding: the first n indices are those of `reconstruction`.
        index = np.arange(n, dtype=np.int32) + (k + 1) * n
        decoded = to_unit(context.decode(z, index, f"decoding {k + 1} of {decodings}"))
        total += decoded
        if context.networks.extractor:
            of_decoding = moments(features(context, decoded, f"decoding {k + 1}"))
            pooled = of_decoding if pooled is None else merge(pooled, of_decoding)
    estimates = {"multi_sample_mean": (total / decodings).astype(np.float32)}
    if context.model.score is not None:
        estimates["one_step"] = to_unit(denoise_in_one_step(context, q.mean))
    for name, images in estimates.items():
        yield from image_distances(name, context, images, test)
    yield "multi_sample/decodings", float(decodings)
    if pooled is not None:
        originals = moments(features(context, test, "the originals"))
        yield f"multi_sample/{fd_name(context.extractor)}", frechet_distance(pooled, originals)
        yield "multi_sample/n", float(pooled.n)
    rows = {"original": test, f"mean of {decodings} decodings": estimates["multi_sample_mean"]}
    rows |= {"E[x_0 | x_T, z]": estimates["one_step"]} if "one_step" in estimates else {}
    plots.rows({name: images[:shown] for name, images in rows.items()}, context.figures / "multi_sample.png")


def denoise_in_one_step(context: EvalContext, z: np.ndarray) -> np.ndarray:
    """Return E[x_0 | x_T = 0, z] for each z [n, latent]: [n, H, W, C] in the model's range."""
    sde, shape = context.model.decoder.sde, context.data.test.shape[1:]

    def from_zero(params: ModelParams, key: PRNGKey, z: Latents) -> Points:
        del key
        score = required(context.model.score, "score")(params, z)
        return denoise(sde, score, jnp.zeros((len(z), *shape), jnp.float32), sde.T)

    return context.map(context.compile("decode", from_zero), "denoise in one step", z)
