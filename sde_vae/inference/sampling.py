"""New images: from the prior, or from new latent codes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import keys_of, normal
from sde_vae.devices import over_devices, replicate
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.scores import classifier_free
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.decoding import Decoder, decode, evaluations, start
from sde_vae.inference.model import Model, ModelParams, decode_latents, latent_evaluations
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.methods.method import required
from sde_vae.types import Indices, Labels, PerExample, Points, PRNGKey, ScoreFn

# Generate(params, key, index) -> new images, one for each index, whatever the batch
Generate = Callable[[Any, PRNGKey, Indices], Points]
# Sampler(params, key, index, label) -> new images on the host; with a label, a progress bar
Sampler = Callable[..., np.ndarray]


def from_prior(decoder: Decoder, prior: Callable[[Any], ScoreFn], shape: tuple[int, ...]) -> Generate:
    """Return a generator of samples of the unconditional model prior(params)."""

    def generate(params: Any, key: PRNGKey, index: Indices) -> Points:
        return decode(decoder, prior(params), *start(decoder.sde, key, zeros(len(index), shape), index))

    return generate


def from_latents(model: Model, latent_dim: int, shape: tuple[int, ...]) -> Generate:
    """Return a generator of decodings of z ~ N(0, I)."""

    def generate(params: ModelParams, key: PRNGKey, index: Indices) -> Points:
        key_z, key = jax.random.split(key)
        z = normal(keys_of(key_z, index), zeros(len(index), (latent_dim,)))
        return decode_latents(model, params, z, *start(model.decoder.sde, key, zeros(len(index), shape), index))

    return generate


def new_images(model: Model, latent_dim: int, shape: tuple[int, ...]) -> Generate:
    """Return a generator of samples of the prior; of a model without one, of decodings of z ~ N(0, I)."""
    if model.prior is None:
        return from_latents(model, latent_dim, shape)
    return from_prior(model.decoder, model.prior, shape)


def of_classes(model: Model, shape: tuple[int, ...]) -> Callable[..., Points]:
    """Return generate(params, key, index, label, guidance): samples of the prior given their classes, by classifier-free guidance.

    label and guidance are [batch]. The noise is that of `from_prior`: samples of one index differ by their class and guidance alone.
    """
    labelled, prior = required(model.labelled, "labelled"), required(model.prior, "unconditional")

    def generate(params: ModelParams, key: PRNGKey, index: Indices, label: Labels, guidance: PerExample) -> Points:
        score = classifier_free(labelled(params, label), prior(params), guidance)
        return decode(model.decoder, score, *start(model.decoder.sde, key, zeros(len(index), shape), index))

    return generate


def make_sampler(generate: Generate, batch_size: int, cache: ResumeCache | None = None) -> Sampler:
    """Compile a generator, to be run over any number of examples."""
    compiled = over_devices(generate, shared=2)
    return lambda params, key, index, label=None: batched_map(
        partial(compiled, params, replicate(key)), batch_size, index, label=label, cache=cache
    )


def sample_evaluations(model: Model, latent_dim: int, shape: tuple[int, ...]) -> int:
    """Return how often the score is evaluated to make a batch of new images of this shape."""
    if model.prior is None:
        return latent_evaluations(model, zeros(shape[0], (latent_dim,)), shape)
    return evaluations(model.decoder, model.prior(model.params), shape)


def make_encode(encode: Callable[[Any, Points], DiagGaussian], batch_size: int) -> Callable[..., DiagGaussian]:
    """Compile an encoder: the result takes parameters and any number of images [n, H, W, C] in [-1, 1]."""

    def encode_batch(params: Any, x: Points) -> jax.Array:
        return jnp.stack(encode(params, x), axis=1)

    compiled = over_devices(encode_batch, shared=1)

    def encode_all(params: Any, x: np.ndarray, label: str | None = None) -> DiagGaussian:
        both = batched_map(partial(compiled, params), batch_size, x, label=label)
        return DiagGaussian(both[:, 0], both[:, 1])

    return encode_all


def zeros(n: int, shape: tuple[int, ...]) -> jax.Array:
    """Return float32 zeros [n, *shape]: the shape and precision of a batch to come."""
    return jnp.zeros((n, *shape), jnp.float32)
