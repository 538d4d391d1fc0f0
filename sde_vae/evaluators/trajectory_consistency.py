"""The error of the mean of E[x_0 | x_t, z] along a solver's trajectories: whether scores of different levels agree.

For exact scores, the mean of E[x_0 | x_t, z] over the trajectories that decode one z is E[x_0 | z] at every t, by the tower rule: x_t
has the law of x_t given z all along, with a stochastic solver as with a deterministic one. So the error is the same at all levels, and
it is the least possible. Where it changes along the way, scores of different levels disagree. Where it falls, lower noise levels know
more of z than higher ones pass on; where it grows, errors accumulate. A stochastic solver forgets in fresh noise what a deterministic
one carries to the end.
"""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from sde_vae.evaluators.context import EvalContext
from sde_vae.inference.aggregate_posterior import sample_posterior
from sde_vae.inference.decoding import Decoder, grid_indices, start, trajectory
from sde_vae.inference.model import ModelParams
from sde_vae.keys import generator
from sde_vae.methods.method import required
from sde_vae.metrics.image.distances import standard_error
from sde_vae.reporting import plots
from sde_vae.reporting.plots import Panel
from sde_vae.types import Indices, Latents, Points, PRNGKey

Named = Iterator[tuple[str, float]]


def trajectory_consistency(context: EvalContext, trajectories: int = 8, stops: int = 9, images: int = 128) -> Named:
    """Yield trajectory_consistency/WHICH/LOGSNR/mse on [0, 1], with standard errors over the images.

    WHICH is `decoder` or `inverter`, which is deterministic. Each of the first `images` test images has one z ~ q(z | x_0) and
    `trajectories` trajectories, evaluated at `stops` noise levels. The estimate is unbiased for the mean of infinitely many.
    """
    model, test = context.model, context.data.test[:images]
    z = sample_posterior(context.encode(test), generator(context.seed, "posterior"))
    lines = {}
    for which, decoder in (("decoder", model.decoder), ("inverter", model.inverter)):
        errors = _errors(context, which, decoder, test, z, trajectories, stops)
        log_snrs = np.asarray(decoder.sde.log_snr(decoder.grid[grid_indices(decoder, stops)]))
        for log_snr, at_level in zip(log_snrs, errors.T, strict=True):
            yield f"trajectory_consistency/{which}/{log_snr:.1f}/mse", float(at_level.mean())
            yield f"trajectory_consistency/{which}/{log_snr:.1f}/mse_stderr", standard_error(at_level)
        lines[f"trajectories of the {which}"] = (log_snrs, errors.mean(axis=0))
    title = f"{model.title}: error of the mean of E[x_0 | x_t, z]"
    panel = Panel(title, "logSNR", "mse", lines, {}, log_y=False, log_x=False)
    plots.lines([panel], context.figures / "trajectory_consistency.png")


def _errors(
    context: EvalContext, which: str, decoder: Decoder, test: np.ndarray, z: np.ndarray, trajectories: int, stops: int
) -> np.ndarray:
    """Return the squared error of each image at each stop: [n, stops]."""

    def denoised(params: ModelParams, key: PRNGKey, z: Latents, index: Indices) -> Points:
        keys, x_T = start(decoder.sde, key, jnp.zeros((len(z), *test.shape[1:]), jnp.float32), index)
        score = required(context.model.score, "score")(params, z)
        return trajectory(decoder, stops, score, keys, x_T)[:, :, 1]

    compiled = context.compile("trajectory_consistency", denoised)
    n, shape = len(test), (len(test), len(grid_indices(decoder, stops)), *test.shape[1:])
    total, squares = np.zeros(shape), np.zeros(shape)
    for k in range(trajectories):
        # Noise of its own for each trajectory.
        index = np.arange(n, dtype=np.int32) + k * n
        label = f"trajectory {k + 1} of {trajectories}, {which}"
        x_0 = context.map(compiled, label, z, index).astype(np.float64)
        total, squares = total + x_0, squares + np.square(x_0)
    mean = total / trajectories
    # The variance of the mean of K trajectories, which that of infinitely many would not have.
    variance = (squares / trajectories - np.square(mean)) / (trajectories - 1)
    per_pixel = (np.square(mean - test[:, None]) - variance).reshape(n, mean.shape[1], -1)
    # A pixel's error on [0, 1] is half of that on [-1, 1].
    return per_pixel.mean(axis=2) / 4
