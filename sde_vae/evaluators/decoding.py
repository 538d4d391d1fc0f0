"""The jitted heart of an evaluation: scores to images, and images to the terms of their bound."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae import bounds
from sde_vae.arrays import fold, keys_of, normal
from sde_vae.method import Method
from sde_vae.sdes import SDE, terminal
from sde_vae.solvers import Grid, Solver, denoise, integrate
from sde_vae.types import Batch, Indices, Keys, Latents, Params, Points, PRNGKey, ScoreFn


class Decoder(NamedTuple):
    """How scores become images: a solver along a grid of times, then Tweedie's denoising at its end."""

    sde: SDE
    solver: Solver
    grid: Grid

    @property
    def nfe(self) -> int:
        """Evaluations of the score for one image."""
        return self.grid.shape[0]


def start(decoder: Decoder, key: PRNGKey, like: Points, index: Indices) -> tuple[Keys, Points]:
    """(the keys of the steps, x_T of the shape of `like`): both determined by `index`."""
    key_start, key_steps = jax.random.split(key)
    return keys_of(key_steps, index), terminal(decoder.sde, normal(keys_of(key_start, index), like))


def decode(
    decoder: Decoder,
    method: Method,
    params: Params,
    frozen: Params,
    key: PRNGKey,
    z: Latents | None,
    like: Points,
    index: Indices,
) -> Points:
    """x_0 of the shape of `like`, decoded from z (or from nothing) and from noise that `index` determines."""
    keys, x_T = start(decoder, key, like, index)
    score = method.score(params, frozen, z)
    x = integrate(decoder.solver(decoder.sde, score), keys, x_T, decoder.grid)
    return denoise(decoder.sde, score, x, decoder.sde.t_min)


def trajectory(
    decoder: Decoder,
    stops: int,
    method: Method,
    params: Params,
    frozen: Params,
    key: PRNGKey,
    z: Latents,
    like: Points,
    index: Indices,
) -> Float[Array, "batch stops 2 *shape"]:
    """x_t and E[x_0 | x_t, z] at `stops` places along one decoding, the first at T and the last at its end."""
    keys, x = start(decoder, key, like, index)
    score = method.score(params, frozen, z)
    step = decoder.solver(decoder.sde, score)
    steps = decoder.grid.shape[0] - 1
    marks = [round(i * steps / (stops - 1)) for i in range(stops)]
    shown = [_shown(decoder.sde, score, x, decoder.grid[0])]
    for a, b in itertools.pairwise(marks):
        x = integrate(step, fold(keys, a), x, decoder.grid[a : b + 1])
        shown.append(_shown(decoder.sde, score, x, decoder.grid[b]))
    return jnp.stack(shown, axis=1)


def _shown(sde: SDE, score: ScoreFn, x: Points, t: Float[Array, ""]) -> Float[Array, "batch 2 *shape"]:
    scale = jax.lax.rsqrt(jnp.square(sde.alpha(t[None])) + jnp.square(sde.sigma(t[None])))[0]
    return jnp.stack([scale * x, denoise(sde, score, x, t)], axis=1)


def bound_terms(
    sde: SDE,
    levels: int,
    strata: int,
    method: Method,
    params: Params,
    frozen: Params,
    key: PRNGKey,
    x: Points,
    index: Indices,
) -> Float[Array, "batch 4"]:
    """The terms of the bound in bits/dim: kl, prior, diffusion, reconstruction."""
    key_z, key_diffusion, key_reconstruction = jax.random.split(key, 3)
    batch = Batch(x, index)
    q = method.encode(params, frozen, x)
    score = method.score(params, frozen, q.sample(keys_of(key_z, index)))
    terms = (
        q.kl_to_standard(),
        bounds.prior_kl(sde, x),
        bounds.diffusion(sde, score, key_diffusion, batch, strata),
        bounds.reconstruction(sde, levels, key_reconstruction, batch),
    )
    return jnp.stack([bounds.bits_per_dim(term, x) for term in terms], axis=-1)
