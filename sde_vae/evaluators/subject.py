"""What is evaluated, as evaluators see it: a few functions on host arrays, and the data."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae import bounds
from sde_vae.arrays import keys_of, normal
from sde_vae.gaussians import DiagGaussian
from sde_vae.method import Method
from sde_vae.sdes import SDE, terminal
from sde_vae.solvers import Grid, Solver, denoise, integrate
from sde_vae.streaming import stream
from sde_vae.types import Batch, Indices, Latents, Params, Points, PRNGKey


class Subject(NamedTuple):
    """Images are float32 in [-1, 1]; `index` gives each example its own randomness, whatever batch it falls into.

    encode(x) -> q(z | x_0); decode(z, index, label) -> x; sample(index, label) -> x from the unconditional prior;
    bound(x, index, label) -> the four terms of the bound in bits/dim, [n, 4]: kl, prior, diffusion, reconstruction.
    With a label, a progress bar.
    """

    encode: Callable[[np.ndarray], DiagGaussian]
    decode: Callable[[np.ndarray, np.ndarray, str], np.ndarray]
    sample: Callable[[np.ndarray, str], np.ndarray]
    bound: Callable[[np.ndarray, np.ndarray, str], np.ndarray]
    train: np.ndarray
    test: np.ndarray
    latent: int
    nfe: int
    seed: int
    pictures: Path


# An evaluator yields (name, value): a new metric is a new file, and no loop is edited for it.
Evaluator = Callable[[Subject], Iterator[tuple[str, float]]]


class Decoder(NamedTuple):
    """How scores become images: a solver along a grid of times, then Tweedie's denoising at its end."""

    sde: SDE
    solver: Solver
    grid: Grid

    @property
    def nfe(self) -> int:
        """Evaluations of the score for one image."""
        return self.grid.shape[0]


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
    key_start, key_steps = jax.random.split(key)
    x_T = terminal(decoder.sde, normal(keys_of(key_start, index), like))
    score = method.score(params, frozen, z)
    x = integrate(decoder.solver(decoder.sde, score), keys_of(key_steps, index), x_T, decoder.grid)
    return denoise(decoder.sde, score, x, decoder.sde.t_min)


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
) -> jax.Array:
    """The terms of the bound in bits/dim, [batch, 4]: kl, prior, diffusion, reconstruction."""
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


def make_subject(
    *,
    decoder: Decoder,
    method: Method,
    params: Params,
    prior: Method,
    prior_params: Params,
    levels: int,
    train: np.ndarray,
    test: np.ndarray,
    latent: int,
    batch_size: int,
    seed: int,
    pictures: Path,
) -> Subject:
    """Compile the method's functions and stream them over host arrays. `params` are EMA parameters."""
    key = jax.random.key(seed)
    like = partial(jnp.zeros, dtype=jnp.float32)
    shape = train.shape[1:]

    encode = jax.jit(lambda x: jnp.stack(method.encode(params, prior_params, x), axis=1))
    decode_z = jax.jit(
        lambda z, index: decode(decoder, method, params, prior_params, key, z, like((len(z), *shape)), index)
    )
    decode_prior = jax.jit(
        lambda index: decode(decoder, prior, prior_params, None, key, None, like((len(index), *shape)), index)
    )
    bound = jax.jit(partial(bound_terms, decoder.sde, levels, batch_size, method, params, prior_params, key))

    def encode_all(x: np.ndarray) -> DiagGaussian:
        both = stream(encode, batch_size, x)
        return DiagGaussian(both[:, 0], both[:, 1])

    return Subject(
        encode=encode_all,
        decode=lambda z, index, label: stream(decode_z, batch_size, z, index, label=label),
        sample=lambda index, label: stream(decode_prior, batch_size, index, label=label),
        bound=lambda x, index, label: stream(bound, batch_size, x, index, label=label),
        train=train,
        test=test,
        latent=latent,
        nfe=decoder.nfe,
        seed=seed,
        pictures=pictures,
    )
