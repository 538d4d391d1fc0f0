"""Sample quality against the number of decodings, for a diffusion model and for a VAE with the same network.

Both start from the same noise and agree after one decoding, E[x_0 | x_T]. The diffusion model then adds noise of the next lower
level and decodes again. The VAE encodes its result by q(x_T | x_0) and decodes again.
"""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import fold, normal
from sde_vae.data.dataset import to_unit
from sde_vae.diffusion.sdes import SDE, diffuse
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.set_distances import fd_name, features, train_moments
from sde_vae.inference.decoding import start
from sde_vae.inference.model import ModelParams
from sde_vae.methods.method import required
from sde_vae.metrics.sets.frechet import frechet_distance, moments
from sde_vae.reporting import plots
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.step import denoise, integrate
from sde_vae.solvers.stochastic import ancestral
from sde_vae.types import Indices, Keys, Points, PRNGKey, ScoreFn


def iterate_diffusion(sde: SDE, score: ScoreFn, iterations: int, keys: Keys, x_T: Points) -> Points:
    """Sample by DDPM's ancestral steps with `iterations` evaluations of the score, the last of which is the final denoising."""
    grid = uniform_log_snr(sde, iterations)[:-1]
    return denoise(sde, score, integrate(ancestral(sde, score), keys, x_T, grid), grid[-1])


def iterate_vae(sde: SDE, score: ScoreFn, iterations: int, keys: Keys, x_T: Points) -> Points:
    """Decode x_T in one step, encode the result by q(x_T | x_0), and so on: `iterations` decodings in all."""
    T = jnp.full(x_T.shape[:1], sde.T, x_T.dtype)

    def encode_again(i: int | jax.Array, x_T: Points) -> Points:
        return diffuse(sde, denoise(sde, score, x_T, sde.T), T, normal(fold(keys, i), x_T))

    return denoise(sde, score, jax.lax.fori_loop(0, iterations - 1, encode_again, x_T), sde.T)


MODELS = {"diffusion": iterate_diffusion, "vae": iterate_vae}


def iterated_decoding(
    context: EvalContext, iterations: Sequence[int] = (1, 4, 16, 64, 256, 1024), samples: int = 256, shown: int = 12
) -> Iterator[tuple[str, float]]:
    """Yield iterated_decoding/MODEL/ITERATIONS/fd_*: the Frechet distance of `samples` images to the training set, given an extractor.

    The figure has the first `shown` samples of each.
    """
    sde, prior = context.model.decoder.sde, required(context.model.prior, "prior")
    shape, index = context.data.test.shape[1:], np.arange(samples, dtype=np.int32)
    real = train_moments(context) if context.networks.extractor else None
    rows = {}
    for name, iterate in MODELS.items():
        for k in iterations:

            def draw(params: ModelParams, key: PRNGKey, index: Indices, iterate=iterate, k=k) -> Points:
                keys, x_T = start(sde, key, jnp.zeros((len(index), *shape), jnp.float32), index)
                return iterate(sde, prior(params), k, keys, x_T)

            label = f"{name}, {k} decodings"
            images = to_unit(context.map(context.compile("iterated_decoding", draw), label, index))
            rows[label] = images[:shown]
            if real is not None:
                fd = frechet_distance(moments(features(context, images, label)), real)
                yield f"iterated_decoding/{name}/{k}/{fd_name(context.extractor)}", fd
    plots.rows(rows, context.figures / "iterated_decoding.png")
