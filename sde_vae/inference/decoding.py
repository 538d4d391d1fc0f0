"""Scores to images, images to the noise they come from."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sde_vae.arrays import expand, keys_of, normal
from sde_vae.diffusion.sdes import SDE, terminal
from sde_vae.solvers.evaluations import count_evaluations
from sde_vae.solvers.grids import Grid
from sde_vae.solvers.step import Solver, denoise, integrate, path
from sde_vae.types import Indices, Keys, Points, PRNGKey, ScoreFn

# Finish(sde, score, x, t) -> x_0 of x at the last time of the grid: denoise or rescale.
Finish = Callable[[SDE, ScoreFn, Points, Float[Array, ""]], Points]

# On so many images are evaluations counted.
COUNTED = 4


class Decoder(NamedTuple):
    """How scores become images: a solver along a grid of times, and what is done at its end."""

    sde: SDE
    solver: Solver
    grid: Grid
    finish: Finish = denoise


def start(sde: SDE, key: PRNGKey, like: Points, index: Indices) -> tuple[Keys, Points]:
    """Return (the keys of the steps, a random x_T of the shape of `like`); both depend on `key` and on each example's `index` alone."""
    key_start, key_steps = jax.random.split(key)
    return keys_of(key_steps, index), terminal(sde, normal(keys_of(key_start, index), like))


def decode(decoder: Decoder, score: ScoreFn, keys: Keys, x_T: Points) -> Points:
    """Return x_0 [batch, ...] decoded from x_T, which may be random (`start`), inverted (`invert`) or given."""
    x = integrate(decoder.solver(decoder.sde, score), keys, x_T, decoder.grid)
    return decoder.finish(decoder.sde, score, x, decoder.grid[-1])


def evaluations(decoder: Decoder, score: ScoreFn, shape: tuple[int, ...]) -> int:
    """Return how often the score is evaluated to decode a batch of this shape, counted while one is decoded."""
    keys, x_T = start(decoder.sde, jax.random.key(0), jnp.zeros(shape), jnp.arange(shape[0]))
    return count_evaluations(lambda score: decode(decoder, score, keys, x_T), score)


def invert(decoder: Decoder, score: ScoreFn, keys: Keys, x_0: Points) -> Points:
    """Return the x_T from which `decode` makes x_0 again, up to the solver's error, by the probability-flow ODE from alpha x_0, at the last time of the grid.

    It takes a deterministic solver, and a decoder that ends with `rescale`.
    """
    x = expand(decoder.sde.alpha(jnp.full(x_0.shape[:1], decoder.grid[-1], x_0.dtype)), x_0) * x_0
    return integrate(decoder.solver(decoder.sde, score), keys, x, decoder.grid[::-1])


def invert_and_decode(decoder: Decoder, score: ScoreFn, keys: Keys, x_0: Points) -> Float[Array, "batch 2 *shape"]:
    """Return x_T = invert(x_0) and decode(x_T), stacked: [batch, 2, ...]."""
    x_T = invert(decoder, score, keys, x_0)
    return jnp.stack([x_T, decode(decoder, score, keys, x_T)], axis=1)


def trajectory(
    decoder: Decoder, stops: int, score: ScoreFn, keys: Keys, x_T: Points
) -> Float[Array, "batch stops 2 *shape"]:
    """Return x_t and E[x_0 | x_t] at `stops` times along a decoding, or at all if there are fewer: [batch, stops, 2, ...], from T on."""
    marks = grid_indices(decoder, stops)
    xs = path(decoder.solver(decoder.sde, score), keys, x_T, decoder.grid)[marks]
    # A loop: the score is traced and compiled once, not for each stop.
    shown = jax.lax.map(lambda at: _shown(decoder.sde, score, *at), (xs, decoder.grid[marks]))
    return jnp.moveaxis(shown, 0, 1)


def grid_indices(decoder: Decoder, stops: int) -> np.ndarray:
    """Return the indices of `stops` evenly spaced times of the grid, from T to t_min."""
    return np.unique(np.round(np.linspace(0, decoder.grid.shape[0] - 1, stops)).astype(int))


def _shown(sde: SDE, score: ScoreFn, x: Points, t: Float[Array, ""]) -> Float[Array, "batch 2 *shape"]:
    scale = jax.lax.rsqrt(jnp.square(sde.alpha(t[None])) + jnp.square(sde.sigma(t[None])))[0]
    return jnp.stack([scale * x, denoise(sde, score, x, t)], axis=1)
