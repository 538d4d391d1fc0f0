"""One image for a latent, not one draw: what l2 asks for.

A single decoding of a single z pays the conditional variance twice, once for what z leaves open and once for what was drawn
instead. Two ways not to:

    average     the mean of K decodings, each of its own z ~ q(z | x_0) and its own x_T and noise
    one_step    E[x_0 | x_T, z] by one evaluation of the score at t = T, z the posterior's mean, and x_T its mean, 0; it divides the
                score's error by alpha(T), which is small

Of those K decodings of every image, all together, Frechet's distance to the originals too. That of one of each is biased upwards by what is
drawn (arXiv:1911.07023), and a decoder that draws nothing pays less of it, however blurred: of K a draw weighs a K-th. It compares with that
of other methods' K decodings, and with no other: what there being few originals adds is left.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.reconstruction import SHOWN, compare
from sde_vae.evaluators.set_distances import fd_name, features
from sde_vae.inference.aggregate_posterior import sample_posterior
from sde_vae.inference.batched_map import batched_map
from sde_vae.metrics.sets.frechet import frechet_distance, merge, moments
from sde_vae.reporting import plots
from sde_vae.solvers.step import denoise
from sde_vae.types import Latents, Points

# Decodings that are averaged.
K = 8


def multi_sample(context: EvalContext) -> Iterator[tuple[str, float]]:
    """multi_sample_mean/l2, ..., one_step/l2, ... with their standard errors; of methods that decode at once, average alone. With an extractor
    multi_sample/fd_*, of all multi_sample/n of them.
    """
    test, q = to_unit(context.data.test), context.encode(context.data.test)
    n, rng, total, seen = len(test), np.random.default_rng(context.seed + 1), np.zeros(test.shape), None
    for k in range(K):
        z = sample_posterior(q, rng)
        # Each decoding has examples of its own: the first n are `reconstruction`'s.
        index = np.arange(n, dtype=np.int32) + (k + 1) * n
        decoded = to_unit(context.decode(z, index, f"decode {k + 1} of {K} to average"))
        total += decoded
        if context.networks.extractor:
            of_one = moments(features(context, decoded, f"decoding {k + 1}"))
            seen = of_one if seen is None else merge(seen, of_one)
    found = {"multi_sample_mean": (total / K).astype(np.float32)}
    if context.model.score is not None:
        found["one_step"] = to_unit(in_one_step(context, q.mean))
    for name, images in found.items():
        yield from compare(name, context, images, test)
    yield "multi_sample/decodings", float(K)
    if seen is not None:
        originals = moments(features(context, test, "the originals"))
        yield f"multi_sample/{fd_name(context.networks.extractor)}", frechet_distance(seen, originals)
        yield "multi_sample/n", float(seen.n)
    shown = {"original": test, f"mean of {K} decodings": found["multi_sample_mean"]}
    shown |= {"E[x_0 | x_T, z]": found["one_step"]} if "one_step" in found else {}
    plots.rows({name: images[:SHOWN] for name, images in shown.items()}, context.figures / "multi_sample.png")


def in_one_step(context: EvalContext, z: np.ndarray) -> np.ndarray:
    sde, shape = context.model.decoder.sde, context.data.test.shape[1:]

    @jax.jit
    def of_zero(z: Latents) -> Points:
        return denoise(sde, context.model.score(z), jnp.zeros((len(z), *shape), jnp.float32), sde.T)

    return batched_map(of_zero, context.batch_size, z, label="denoise in one step", cache=context.cache)
