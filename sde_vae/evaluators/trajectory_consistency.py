"""Does the conditional score agree with itself across t? What E[x_0 | x_t, z] comes to on the way, along a solver's own paths.

Of exact scores the mean of E[x_0 | x_t, z] over the paths that lead from noise to the decodings of one z is E[x_0 | z] at every t: by
the tower rule, as x_t has the law of x_t given z all along, be the solver stochastic or not. So its error is the same at all levels,
and is the least there is. Where it changes on the way, scores of different levels disagree: where it falls, levels of less noise know
more of z than those of more noise tell; where it grows, their errors add up. A stochastic solver forgets in fresh noise what a
deterministic one carries to the end.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.evaluators.context import EvalContext
from sde_vae.inference.aggregate_posterior import sample_posterior
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.decoding import Decoder, places, start, trajectory
from sde_vae.metrics.image.distances import standard_error
from sde_vae.reporting import plots
from sde_vae.reporting.plots import Panel
from sde_vae.types import Indices, Latents, Points

# Paths of each z, stops along each, and test images.
K, STOPS, TOLD = 8, 9, 128
Named = Iterator[tuple[str, float]]


def trajectory_consistency(context: EvalContext) -> Named:
    """trajectory_consistency/WHICH/LOGSNR/mse with standard errors, of images in [0, 1]: of the mean of infinitely many paths, by K and without bias. WHICH:
    `decoder`, and `inverter`, which is deterministic.
    """
    model, test = context.model, context.data.test[:TOLD]
    z = sample_posterior(context.encode(test), np.random.default_rng(context.seed))
    lines = {}
    for which, decoder in (("decoder", model.decoder), ("inverter", model.inverter)):
        errors = _errors(context, which, decoder, test, z)
        levels = np.asarray(decoder.sde.log_snr(decoder.grid[places(decoder, STOPS)]))
        for level, column in zip(levels, errors.T, strict=True):
            yield f"trajectory_consistency/{which}/{level:.1f}/mse", float(column.mean())
            yield f"trajectory_consistency/{which}/{level:.1f}/mse_stderr", standard_error(column)
        lines[f"by the {which}"] = (levels, errors.mean(axis=0))
    title = f"{model.title}: E[x_0 | x_t, z] over paths"
    panel = Panel(title, "logSNR", "mse of their mean", lines, {}, log_y=False, log_x=False)
    plots.lines([panel], context.figures / "trajectory_consistency.png")


def _errors(context: EvalContext, which: str, decoder: Decoder, test: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Of each image at each stop: [n, stops]."""
    model, key = context.model, jax.random.key(context.seed)

    @jax.jit
    def guesses(z: Latents, index: Indices) -> Points:
        keys, x_T = start(decoder.sde, key, jnp.zeros((len(z), *test.shape[1:]), jnp.float32), index)
        return trajectory(decoder, STOPS, model.score(z), keys, x_T)[:, :, 1]

    n, total, squares = len(test), 0.0, 0.0
    for k in range(K):
        # Each path has an example's noise of its own.
        index = np.arange(n, dtype=np.int32) + k * n
        label = f"path {k + 1} of {K}, {which}"
        guess = batched_map(guesses, context.batch_size, z, index, label=label, cache=context.cache).astype(np.float64)
        total, squares = total + guess, squares + np.square(guess)
    mean = total / K
    # What K paths scatter is K - 1 times their variance; their mean has a Kth of that, which no further path would have.
    scatter = (squares / K - np.square(mean)) / (K - 1)
    of_pixels = (np.square(mean - test[:, None]) - scatter).reshape(n, mean.shape[1], -1)
    # A pixel is half as long in [0, 1] as in [-1, 1].
    return of_pixels.mean(axis=2) / 4
