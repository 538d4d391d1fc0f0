"""The bound of the method, tightened by importance weights over z and the whole trajectory, in bits/dim."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import keys_of
from sde_vae.bounds.importance import importance_weighted, latent_log_weight, path_log_weight
from sde_vae.bounds.terms import bits_per_dim
from sde_vae.evaluators.context import EvalContext
from sde_vae.inference.model import ModelParams, in_float32
from sde_vae.methods.method import required
from sde_vae.metrics.image.distances import standard_error
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.types import Batch, Indices, PerExample, Points, PRNGKey


def importance(context: EvalContext, images: int = 64, draws: int = 16, steps: int = 64) -> Iterator[tuple[str, float]]:
    """Yield importance/K, the bound of the model of `steps` steps from K weights, for K = 1, draws / 4 and draws, with standard errors.

    K = 1 is the evidence bound itself. The first `images` test images are used, with `draws` weights each; `draws` is a multiple of 4.
    """
    model, data = in_float32(context.model), context.data
    sde, grid = model.decoder.sde, uniform_log_snr(model.decoder.sde, steps)

    def log_weight(params: ModelParams, key: PRNGKey, x: Points, index: Indices) -> PerExample:
        key_z, key_path = jax.random.split(key)
        q = required(model.encode, "encode")(params, x)
        z = q.sample(keys_of(key_z, index))
        score = required(model.score, "score")(params, z)
        path = path_log_weight(sde, score, grid, data.levels, key_path, Batch(x, index))
        return path + latent_log_weight(q, z)

    n = min(images, len(data.test))
    index = np.arange(n * draws, dtype=np.int32)
    compiled = context.compile("importance", log_weight)
    found = context.map(lambda row, i: compiled(data.test[row], i), "importance weights", index // draws, index)
    log_w = jnp.asarray(found.reshape(n, draws).T)
    for k in (1, draws // 4, draws):
        # All weights are used: the mean of draws / k bounds for each image.
        groups = [importance_weighted(log_w[i : i + k]) for i in range(0, draws, k)]
        values = np.asarray(bits_per_dim(jnp.mean(jnp.stack(groups), axis=0), jnp.asarray(data.test[:n])), np.float64)
        yield f"importance/{k}", float(values.mean())
        yield f"importance/{k}_stderr", standard_error(values)
    yield "importance/n", float(n)
    yield "importance/steps", float(steps)
