"""The trained model's functions, compiled and streamed over host arrays: how a Subject is made."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import keys_of, normal
from sde_vae.evaluators.decoding import Decoder, decode, evaluations, start, there_and_back, trajectory
from sde_vae.evaluators.subject import Held, Judges, Model, Sampler, Subject
from sde_vae.gaussians import DiagGaussian
from sde_vae.parts import Parts
from sde_vae.streaming import stream
from sde_vae.types import Indices, Keys, Latents, Points, PRNGKey, ScoreFn

# Steps of a decoding that are shown.
STOPS = 8
# New(index) -> new images, one for each index, whatever the batch
New = Callable[[Indices], Points]


def decode_latents(model: Model, z: Latents, keys: Keys, x_T: Points) -> Points:
    """x from z: by its solver from x_T, or, by a model that decodes at once, the mean of p(x_0 | z)."""
    if model.score is None:
        return model.likelihood(z).mean
    return decode(model.decoder, model.score(z), keys, x_T)


def latent_evaluations(model: Model, z: Latents, shape: tuple[int, ...]) -> int:
    """How often the score is evaluated to decode a batch of this shape, whatever networks it is made of; 1 if there is none."""
    return 1 if model.score is None else evaluations(model.decoder, model.score(z), shape)


def sample_evaluations(model: Model, latent: int, shape: tuple[int, ...]) -> int:
    """The same to make a batch of new images."""
    if model.prior is None:
        return latent_evaluations(model, _like(shape[0], (latent,)), shape)
    return evaluations(model.decoder, model.prior, shape)


def from_prior(decoder: Decoder, prior: ScoreFn, shape: tuple[int, ...], key: PRNGKey) -> New:
    return lambda index: decode(decoder, prior, *start(decoder.sde, key, _like(len(index), shape), index))


def from_latents(model: Model, latent: int, shape: tuple[int, int, int], seed: int) -> New:
    """Decodings of z ~ N(0, I)."""
    key_z, key = jax.random.split(jax.random.key(seed))

    def new(index: Indices) -> Points:
        z = normal(keys_of(key_z, index), _like(len(index), (latent,)))
        return decode_latents(model, z, *start(model.decoder.sde, key, _like(len(index), shape), index))

    return new


def make_sampler(new: New, batch_size: int, parts: Parts | None) -> Sampler:
    compiled = jax.jit(new)
    return lambda index, label: stream(compiled, batch_size, index, label=label, parts=parts)


def make_encode(encode: Callable[[Points], DiagGaussian], batch_size: int) -> Callable[[np.ndarray], DiagGaussian]:
    compiled = jax.jit(lambda x: jnp.stack(encode(x), axis=1))

    def encode_all(x: np.ndarray) -> DiagGaussian:
        both = stream(compiled, batch_size, x)
        return DiagGaussian(both[:, 0], both[:, 1])

    return encode_all


def make_subject(
    model: Model, data: Held, judges: Judges, parts: Parts, latent: int, samples: int, batch_size: int, seed: int
) -> Subject:
    key, shape, decoder = jax.random.key(seed), data.test.shape[1:], model.decoder

    def begin(index: jax.Array) -> tuple[Keys, Points]:
        return start(decoder.sde, key, _like(len(index), shape), index)

    decode_random = jax.jit(lambda z, i: decode_latents(model, z, *begin(i)))
    decode_given = jax.jit(lambda z, i, x_T: decode_latents(model, z, begin(i)[0], x_T))
    follow = jax.jit(lambda z, i: trajectory(decoder, STOPS, model.score(z), *begin(i)))
    # A deterministic solver asks for keys and draws nothing from them.
    invert = jax.jit(lambda z, x: there_and_back(model.inverter, model.score(z), keys_of(key, jnp.arange(len(x))), x))

    def decode_all(z: np.ndarray, index: np.ndarray, label: str, x_T: np.ndarray | None = None) -> np.ndarray:
        if x_T is None:
            return stream(decode_random, batch_size, z, index, label=label, parts=parts)
        return stream(decode_given, batch_size, z, index, x_T, label=label, parts=parts)

    unconditional = model.prior is not None
    new = from_prior(decoder, model.prior, shape, key) if unconditional else from_latents(model, latent, shape, seed)
    return Subject(
        model=model,
        encode=make_encode(model.encode, batch_size),
        decode=decode_all,
        invert=lambda z, x, label: stream(invert, batch_size, z, x, label=label, parts=parts),
        sample=make_sampler(new, batch_size, parts),
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
