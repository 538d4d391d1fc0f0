"""What a trained model does, compiled, over host arrays of any length."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import keys_of
from sde_vae.devices import over_devices, replicate
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.decoding import invert_and_decode, start, trajectory
from sde_vae.inference.model import Model, ModelParams, decode_latents
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.inference.sampling import Sampler, make_encode, make_sampler, new_images, of_classes, zeros
from sde_vae.methods.method import required
from sde_vae.types import Given, Indices, Keys, Latents, Points, PRNGKey

# Steps of a decoding that a plot of its trajectory shows.
STOPS = 8


class Compiled(NamedTuple):
    """Functions of numpy arrays. Images are float32 [n, H, W, C] in [-1, 1]. All noise is a function of `key` and of each example's `index` [n].

    encode(x)                              q(z | x_0)
    decode(key, z, index, label[, x_T])    x, from a random x_T unless one is given; z is a latent or a condition
    invert(z, x, label)                    the x_T from which z decodes to x, and what it decodes to: [n, 2, H, W, C]
    sample(key, index, label)              new x, from the prior, or of z ~ N(0, I) if there is none
    trajectory(key, z, index)              x_t and E[x_0 | x_t, z] along a decoding: [n, stops, 2, H, W, C]
    of_classes(key, index, classes, guidance, label)   new x of these classes [n], by guidance [n]; of a model with labels

    A model that decodes in one pass has neither inversions nor trajectories. A label shows a progress bar, and with a cache keeps the
    result until the evaluation is complete.
    """

    encode: Callable[..., DiagGaussian]
    decode: Callable[..., np.ndarray]
    invert: Callable[..., np.ndarray]
    sample: Sampler
    trajectory: Callable[..., np.ndarray]
    of_classes: Callable[..., np.ndarray]


def _no_latent(*_: Any) -> DiagGaussian:
    raise TypeError("this model has no latent codes")


def _no_labels(*_: Any) -> Points:
    raise TypeError("this model was trained without labels")


def compile_model(
    model: Model,
    shape: tuple[int, ...],
    latent_dim: int,
    batch_size: int,
    cache: ResumeCache | None = None,
) -> Compiled:
    """Compile each function for all devices at its first call, and again only for batches of another size."""
    decoder, params, score = model.decoder, model.params, model.score

    def begin(key: PRNGKey, index: Indices) -> tuple[Keys, Points]:
        return start(decoder.sde, key, zeros(len(index), shape), index)

    def decode_random(params: ModelParams, key: PRNGKey, z: Given, index: Indices) -> Points:
        return decode_latents(model, params, z, *begin(key, index))

    def decode_given(params: ModelParams, key: PRNGKey, z: Given, index: Indices, x_T: Points) -> Points:
        return decode_latents(model, params, z, begin(key, index)[0], x_T)

    def follow(params: ModelParams, key: PRNGKey, z: Latents, index: Indices) -> jax.Array:
        return trajectory(decoder, STOPS, required(score, "score")(params, z), *begin(key, index))

    def invert(params: ModelParams, z: Latents, x: Points) -> jax.Array:
        # A deterministic solver asks for keys and draws nothing from them.
        keys = keys_of(jax.random.key(0), jnp.arange(len(x)))
        return invert_and_decode(model.inverter, required(score, "score")(params, z), keys, x)

    random, given, followed = (over_devices(f, shared=2) for f in (decode_random, decode_given, follow))
    inverted = partial(over_devices(invert, shared=1), params)
    of_class = over_devices(of_classes(model, shape) if model.labelled else _no_labels, shared=2)

    def decode_all(
        key: PRNGKey, z: Any, index: np.ndarray, label: str | None = None, x_T: np.ndarray | None = None
    ) -> np.ndarray:
        function, rows = (random, (z, index)) if x_T is None else (given, (z, index, x_T))
        return batched_map(partial(function, params, replicate(key)), batch_size, *rows, label=label, cache=cache)

    return Compiled(
        encode=partial(make_encode(required(model.encode, "encode"), batch_size), params)
        if model.encode
        else _no_latent,
        decode=decode_all,
        invert=lambda z, x, label=None: batched_map(inverted, batch_size, z, x, label=label, cache=cache),
        sample=partial(make_sampler(new_images(model, latent_dim, shape), batch_size, cache), params),
        trajectory=lambda key, z, index: batched_map(partial(followed, params, replicate(key)), batch_size, z, index),
        of_classes=lambda key, index, classes, guidance, label=None: batched_map(
            partial(of_class, params, replicate(key)), batch_size, index, classes, guidance, label=label, cache=cache
        ),
    )
