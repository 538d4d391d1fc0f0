"""The trained model's functions, compiled and streamed over host arrays: how a Subject is made."""

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import keys_of
from sde_vae.evaluators.decoding import Decoder, decode, start, there_and_back, trajectory
from sde_vae.evaluators.subject import Held, Judges, Model, Sampler, Subject
from sde_vae.gaussians import DiagGaussian
from sde_vae.parts import Parts
from sde_vae.streaming import stream
from sde_vae.types import Keys, Points, ScoreFn

# Steps of a decoding that are shown.
STOPS = 8


def make_sampler(
    decoder: Decoder, prior: ScoreFn, shape: tuple[int, int, int], batch_size: int, seed: int, parts: Parts | None
) -> Sampler:
    key = jax.random.key(seed)

    @jax.jit
    def draw(index: jax.Array) -> jax.Array:
        return decode(decoder, prior, *start(decoder.sde, key, _like(len(index), shape), index))

    return lambda index, label: stream(draw, batch_size, index, label=label, parts=parts)


def make_subject(
    model: Model, data: Held, judges: Judges, parts: Parts, latent: int, samples: int, batch_size: int, seed: int
) -> Subject:
    key, shape, decoder = jax.random.key(seed), data.test.shape[1:], model.decoder

    def begin(index: jax.Array) -> tuple[Keys, Points]:
        return start(decoder.sde, key, _like(len(index), shape), index)

    encode = jax.jit(lambda x: jnp.stack(model.encode(x), axis=1))
    decode_random = jax.jit(lambda z, i: decode(decoder, model.score(z), *begin(i)))
    decode_given = jax.jit(lambda z, i, x_T: decode(decoder, model.score(z), begin(i)[0], x_T))
    follow = jax.jit(lambda z, i: trajectory(decoder, STOPS, model.score(z), *begin(i)))
    # A deterministic solver asks for keys and draws nothing from them.
    invert = jax.jit(lambda z, x: there_and_back(model.inverter, model.score(z), keys_of(key, jnp.arange(len(x))), x))

    def encode_all(x: np.ndarray) -> DiagGaussian:
        both = stream(encode, batch_size, x)
        return DiagGaussian(both[:, 0], both[:, 1])

    def decode_all(z: np.ndarray, index: np.ndarray, label: str, x_T: np.ndarray | None = None) -> np.ndarray:
        if x_T is None:
            return stream(decode_random, batch_size, z, index, label=label, parts=parts)
        return stream(decode_given, batch_size, z, index, x_T, label=label, parts=parts)

    return Subject(
        model=model,
        encode=encode_all,
        decode=decode_all,
        invert=lambda z, x, label: stream(invert, batch_size, z, x, label=label, parts=parts),
        sample=make_sampler(decoder, model.prior, shape, batch_size, seed, parts),
        trajectory=lambda z, index: stream(follow, batch_size, z, index),
        data=data,
        judges=judges,
        parts=parts,
        latent=latent,
        samples=samples,
        batch_size=batch_size,
        seed=seed,
    )


def _like(n: int, shape: tuple[int, ...]) -> jax.Array:
    return jnp.zeros((n, *shape), jnp.float32)
