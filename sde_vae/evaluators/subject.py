"""What is evaluated, as evaluators see it: a few functions on host arrays, the data, and the judges."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.data.dataset import Images
from sde_vae.evaluators.decoding import Decoder, bound_terms, decode, trajectory
from sde_vae.gaussians import DiagGaussian
from sde_vae.method import Method
from sde_vae.metrics.extractors import Extractor
from sde_vae.parts import Parts
from sde_vae.streaming import stream
from sde_vae.types import Params

# Steps of a decoding that are shown.
STOPS = 8


class Judges(NamedTuple):
    """Networks that judge images. lpips: metric name -> distance(x, y) on [0, 1] images; extractor: of FD and KID, or None.

    weights says of each which weights it has, to be told beside its figures. moments: a folder where the moments of real
    images are kept.
    """

    lpips: dict[str, Callable]
    extractor: Extractor | None
    weights: dict[str, str]
    moments: Path


class Held(NamedTuple):
    """The data of an evaluation. train and held_out: uint8, maybe not in memory; test: the first of held_out, which are
    reconstructed, float32 in [-1, 1].

    name and fingerprint (of train) say which they are.
    """

    name: str
    fingerprint: str
    levels: int
    train: Images
    held_out: Images
    test: np.ndarray


class Subject(NamedTuple):
    """Images are float32 in [-1, 1]; `index` gives each example its own randomness, whatever batch it falls into.

    encode(x) -> q(z | x_0); decode(z, index, label) -> x; sample(index, label) -> x from the unconditional prior;
    trajectory(z, index) -> x_t and E[x_0 | x_t, z] along a decoding, [n, STOPS, 2, ...];
    bound(which, index, label) -> the four terms of the bound of test[which] in bits/dim, [n, 4]: kl, prior, diffusion,
    reconstruction.
    With a label, a progress bar, and the result is kept until the evaluation is complete.
    """

    encode: Callable[[np.ndarray], DiagGaussian]
    decode: Callable[[np.ndarray, np.ndarray, str], np.ndarray]
    sample: "Sampler"
    trajectory: Callable[[np.ndarray, np.ndarray], np.ndarray]
    bound: Callable[[np.ndarray, np.ndarray, str], np.ndarray]
    data: Held
    judges: Judges
    parts: Parts
    latent: int
    nfe: int
    samples: int
    batch_size: int
    seed: int

    @property
    def pictures(self) -> Path:
        """Where evaluators put theirs: they belong to this evaluation, as all of `parts` does."""
        return self.parts.directory / "pictures"


# Sampler(index, label) -> x from the unconditional prior
Sampler = Callable[[np.ndarray, str], np.ndarray]
# An evaluator yields (name, value): a new metric is a new file, and no loop is edited for it.
Evaluator = Callable[[Subject], Iterator[tuple[str, Any]]]


def make_sampler(
    decoder: Decoder,
    prior: Method,
    prior_params: Params,
    shape: tuple[int, int, int],
    batch_size: int,
    seed: int,
    parts: Parts | None,
) -> Sampler:
    key = jax.random.key(seed)

    @jax.jit
    def draw(index: jax.Array) -> jax.Array:
        like = jnp.zeros((len(index), *shape), jnp.float32)
        return decode(decoder, prior, prior_params, None, key, None, like, index)

    return lambda index, label: stream(draw, batch_size, index, label=label, parts=parts)


def make_subject(
    *,
    decoder: Decoder,
    method: Method,
    params: Params,
    prior: Method,
    prior_params: Params,
    data: Held,
    judges: Judges,
    parts: Parts,
    latent: int,
    samples: int,
    batch_size: int,
    seed: int,
) -> Subject:
    """Compile the method's functions and stream them over host arrays. `params` are EMA parameters."""
    key = jax.random.key(seed)
    shape = data.test.shape[1:]

    def like(n: int) -> jax.Array:
        return jnp.zeros((n, *shape), jnp.float32)

    encode = jax.jit(lambda x: jnp.stack(method.encode(params, prior_params, x), axis=1))
    decode_z = jax.jit(lambda z, i: decode(decoder, method, params, prior_params, key, z, like(len(z)), i))
    follow = jax.jit(lambda z, i: trajectory(decoder, STOPS, method, params, prior_params, key, z, like(len(z)), i))
    bound = jax.jit(partial(bound_terms, decoder.sde, data.levels, batch_size, method, params, prior_params, key))

    def encode_all(x: np.ndarray) -> DiagGaussian:
        both = stream(encode, batch_size, x)
        return DiagGaussian(both[:, 0], both[:, 1])

    return Subject(
        encode=encode_all,
        decode=lambda z, index, label: stream(decode_z, batch_size, z, index, label=label, parts=parts),
        sample=make_sampler(decoder, prior, prior_params, shape, batch_size, seed, parts),
        trajectory=lambda z, index: stream(follow, batch_size, z, index),
        bound=lambda which, index, label: stream(
            lambda w, i: bound(data.test[w], i), batch_size, which, index, label=label, parts=parts
        ),
        data=data,
        judges=judges,
        parts=parts,
        latent=latent,
        nfe=decoder.nfe,
        samples=samples,
        batch_size=batch_size,
        seed=seed,
    )
