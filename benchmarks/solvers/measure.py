"""Measures decoding and inversion with one candidate, on the held-out images. Results are cached."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.solvers.candidates import Candidate
from sde_vae.arrays import expand, fold
from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.set_distances import features, to_bytes
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.decoding import start
from sde_vae.inference.model import Model
from sde_vae.metrics.image.distances import l2, psnr
from sde_vae.metrics.sets.frechet import frechet_distance, moments
from sde_vae.solvers.grids import Grid
from sde_vae.solvers.step import Solver, denoise, rescale
from sde_vae.types import Keys, Points

# travel(z, keys, x, times) -> x at times[-1]
Travel = Callable[[jax.Array, Keys, Points, Grid], Points]


def travel_with(model: Model, solver: Solver) -> Travel:
    """`integrate` as a Python loop of compiled steps, so that a solver compiles once, not for each number of steps."""
    sde, params = model.decoder.sde, model.params

    @jax.jit
    def move(params, z, keys, x, memory, i, t, t_next):
        full = jnp.ones(len(x), x.dtype)
        return solver(sde, model.score(params, z)).move(fold(keys, i), x, memory, t * full, t_next * full)

    def travel(z, keys, x, times):
        memory = solver(sde, model.score(params, z)).start(x)
        for i, (t, t_next) in enumerate(itertools.pairwise(np.asarray(times))):
            x, memory = move(params, z, keys, x, memory, i, t, t_next)
        return x

    return travel


class Bench:
    """`reconstruct` and `invert` return {metric: [one an image]}, where "fd" is a number, or {} if an image is not finite."""

    def __init__(self, context: EvalContext):
        self.context, self.model, self.size = context, context.model, context.batch_size
        self.posterior = context.encode(context.data.test)
        self.test = to_unit(context.data.test)
        self.index = np.arange(len(self.test), dtype=np.int32)
        self.originals = moments(features(context, self.test, "the originals"))
        self.travel = functools.cache(lambda solver: travel_with(self.model, solver))
        sde, shape = self.model.decoder.sde, self.test.shape[1:]
        self.begin = jax.jit(lambda key, i: start(sde, key, jnp.zeros((len(i), *shape)), i))
        denoised = jax.jit(lambda params, z, x: denoise(sde, self.model.score(params, z), x, sde.t_min))
        self.denoised = functools.partial(denoised, self.model.params)

    def reconstruct(self, candidate: Candidate, seed: int) -> dict[str, Any]:
        """l2, psnr, lpips_alex and fd of one decoding of one z ~ q(z | x_0) for each image."""
        noise = np.random.default_rng(seed).standard_normal(self.posterior.mean.shape, np.float32)
        z = self.posterior.mean + np.exp(0.5 * self.posterior.log_var) * noise
        travel, key = self.travel(candidate.decoder.solver), jax.random.key(seed)

        def decode(z, index):
            return self.denoised(z, travel(z, *self.begin(key, index), candidate.decoder.grid))

        make = lambda: self._distances(batched_map(decode, self.size, z, self.index))
        return self.context.cache.values(f"{candidate.name} seed {seed}", make)

    def invert(self, candidate: Candidate) -> dict[str, Any]:
        """psnr of the images decoded from their inverted noise x_T, given the mean of q(z | x_0)."""
        sde, travel = candidate.decoder.sde, self.travel(candidate.decoder.solver)

        def invert_and_decode(z, x, index):
            keys, _ = self.begin(jax.random.key(0), index)
            alpha = expand(sde.alpha(jnp.full(len(x), sde.t_min, x.dtype)), x)
            x_T = travel(z, keys, alpha * x, candidate.decoder.grid[::-1])
            return rescale(
                sde, self.model.score(self.model.params, z), travel(z, keys, x_T, candidate.decoder.grid), sde.t_min
            )

        def make() -> dict[str, Any]:
            x = batched_map(invert_and_decode, self.size, self.posterior.mean, self.context.data.test, self.index)
            return {"psnr": psnr(to_unit(x), self.test).tolist()} if np.isfinite(x).all() else {}

        return self.context.cache.values(f"invert {candidate.name}", make)

    def _distances(self, x: np.ndarray) -> dict[str, Any]:
        if not np.isfinite(x).all():
            return {}
        x, networks = to_unit(x), self.context.networks
        lpips = batched_map(networks.lpips["lpips_alex"], self.size, x, self.test).astype(np.float64)
        fd = frechet_distance(moments(batched_map(networks.extractor.features, self.size, to_bytes(x))), self.originals)
        return {
            "l2": l2(x, self.test).tolist(),
            "psnr": psnr(x, self.test).tolist(),
            "lpips_alex": lpips.tolist(),
            "fd": fd,
        }
