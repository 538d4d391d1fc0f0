"""The bound of the method, tightened by importance weights over z and the whole path to it, in bits/dim."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import keys_of
from sde_vae.bounds.importance import importance_weighted, latent_log_weight, path_log_weight
from sde_vae.bounds.terms import bits_per_dim
from sde_vae.evaluators.context import EvalContext
from sde_vae.inference.batched_map import batched_map
from sde_vae.metrics.image.distances import standard_error
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.types import Batch, Indices, PerExample, Points

# The first so many held-out images; so many weights each; so many steps of the model that is bounded.
IMAGES, DRAWS, STEPS = 64, 16, 64


def importance(context: EvalContext) -> Iterator[tuple[str, float]]:
    """importance/K: the bound of the STEPS-step model from K weights, K = 1 being the bound as it is; each with its standard error."""
    model, data = context.model, context.data
    sde, grid = model.decoder.sde, uniform_log_snr(model.decoder.sde, STEPS)
    key_z, key_path = jax.random.split(jax.random.key(context.seed))

    @jax.jit
    def weigh(x: Points, index: Indices) -> PerExample:
        q = model.encode(x)
        z = q.sample(keys_of(key_z, index))
        path = path_log_weight(sde, model.score(z), grid, data.levels, key_path, Batch(x, index))
        return path + latent_log_weight(q, z)

    n = min(IMAGES, len(data.test))
    index = np.arange(n * DRAWS, dtype=np.int32)
    of_row = lambda which, index: weigh(data.test[which], index)
    found = batched_map(
        of_row, context.batch_size, index // DRAWS, index, label="importance weights", cache=context.cache
    )
    log_w = jnp.asarray(found.reshape(n, DRAWS).T)
    for k in (1, DRAWS // 4, DRAWS):
        # Every weight is used: DRAWS / k bounds an image, and their mean.
        groups = [importance_weighted(log_w[i : i + k]) for i in range(0, DRAWS, k)]
        values = np.asarray(bits_per_dim(jnp.mean(jnp.stack(groups), axis=0), jnp.asarray(data.test[:n])), np.float64)
        yield f"importance/{k}", float(values.mean())
        yield f"importance/{k}_stderr", standard_error(values)
    yield "importance/n", float(n)
    yield "importance/steps", float(STEPS)
