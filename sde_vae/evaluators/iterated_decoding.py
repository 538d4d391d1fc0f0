"""Does it help to decode again? Sample quality against the number of rounds, for the diffusion model and for a VAE.

Both start from the same noise with the same network, and after one round they are the same: E[x_0 | x_T]. The diffusion model
then noises to the next lower level and decodes again; the "VAE of many steps" encodes what it made as a VAE does, by q(x_T | x_0),
and decodes that.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import fold, normal
from sde_vae.data.dataset import to_unit
from sde_vae.diffusion.sdes import SDE, diffuse
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.set_distances import fd_name, features, train_moments
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.decoding import start
from sde_vae.metrics.sets.frechet import frechet_distance, moments
from sde_vae.reporting import plots
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.step import denoise, integrate
from sde_vae.solvers.stochastic import ancestral
from sde_vae.types import Keys, Points, ScoreFn

ROUNDS = (1, 4, 16, 64, 256, 1024)
SAMPLES = 256
SHOWN = 12


def diffusion_rounds(sde: SDE, score: ScoreFn, rounds: int, keys: Keys, x_T: Points) -> Points:
    """DDPM's ancestral sampling in so many evaluations of the score, the last of which is the denoising at its end."""
    grid = uniform_log_snr(sde, rounds)[:-1]
    return denoise(sde, score, integrate(ancestral(sde, score), keys, x_T, grid), grid[-1])


def vae_rounds(sde: SDE, score: ScoreFn, rounds: int, keys: Keys, x_T: Points) -> Points:
    """Decode x_T in one step; encode that by q(x_T | x_0), and decode again, `rounds` decodings in all."""
    T = jnp.full(x_T.shape[:1], sde.T, x_T.dtype)

    def again(i: int | jax.Array, x_T: Points) -> Points:
        return diffuse(sde, denoise(sde, score, x_T, sde.T), T, normal(fold(keys, i), x_T))

    return denoise(sde, score, jax.lax.fori_loop(0, rounds - 1, again, x_T), sde.T)


MODELS = {"diffusion": diffusion_rounds, "vae": vae_rounds}


def iterated_decoding(context: EvalContext) -> Iterator[tuple[str, float]]:
    """iterated_decoding/MODEL/ROUNDS, the Frechet distance of so many samples to the training set (if there is an extractor)."""
    sde, score, key = context.model.decoder.sde, context.model.prior, jax.random.key(context.seed)
    shape, index = context.data.test.shape[1:], np.arange(SAMPLES, dtype=np.int32)
    real = train_moments(context) if context.networks.extractor else None
    shown = {}
    for name, model in MODELS.items():
        for k in ROUNDS:

            @jax.jit
            def draw(index: jax.Array, model=model, k=k) -> Points:
                keys, x_T = start(sde, key, jnp.zeros((len(index), *shape), jnp.float32), index)
                return model(sde, score, k, keys, x_T)

            label = f"{name}, {k} rounds"
            drawn = to_unit(batched_map(draw, context.batch_size, index, label=label, cache=context.cache))
            shown[label] = drawn[:SHOWN]
            if real is not None:
                fd = frechet_distance(moments(features(context, drawn, label)), real)
                yield f"iterated_decoding/{name}/{k}/{fd_name(context.networks.extractor)}", fd
    plots.rows(shown, context.figures / "iterated_decoding.png")
