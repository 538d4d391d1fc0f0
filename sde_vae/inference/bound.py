"""The evidence bound of a trained model, example by example: of images in bits per dimension, of a density in nats."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sde_vae.arrays import keys_of
from sde_vae.bounds.density import density_bound
from sde_vae.bounds.discretised import discretised
from sde_vae.bounds.terms import Terms, bits_per_dim, evidence_bound
from sde_vae.devices import over_devices, replicate
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.sdes import SDE
from sde_vae.inference.model import Model, ModelParams, in_float32
from sde_vae.inference.monte_carlo import mean_of_draws
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.keys import stream
from sde_vae.methods.method import required
from sde_vae.types import Batch, Indices, PerExample, Points, PRNGKey, ScoreFn, Strata

# Bound(key, strata, x, x_z, index) -> [batch, terms], one draw of every term and their total; z ~ q(z | x_z)
Bound = Callable[[PRNGKey, Strata, Points, Points, Indices], Float[Array, "batch terms"]]


class Measure(NamedTuple):
    """What a bound is of, and its unit.

    terms(sde, q, score, strata, key, batch)    one draw of every term, in nats
    one_pass(p, x)                              -log p(x_0 | z) in nats, of a model that decodes in one pass
    unit(nats, x)                               nats per example in the unit of the result
    """

    terms: Callable[[SDE, DiagGaussian | None, ScoreFn, Strata, PRNGKey, Batch], Terms]
    one_pass: Callable[[DiagGaussian, Points], PerExample]
    unit: Callable[[PerExample, Points], PerExample]


def as_mass(levels: int) -> Measure:
    """Return the mass of images on so many grey levels, in bits per dimension."""
    return Measure(
        lambda sde, q, score, strata, key, batch: evidence_bound(sde, q, score, levels, strata, key, batch),
        lambda p, x: discretised(p, levels, x),
        bits_per_dim,
    )


def as_density(log_volume: float) -> Measure:
    """Return the density, in nats, in units to which x is mapped with this log-determinant."""
    return Measure(
        lambda sde, q, score, strata, key, batch: density_bound(sde, q, score, log_volume, strata, key, batch),
        lambda p, x: log_volume - p.log_prob(x),
        lambda nats, x: nats,
    )


def method_bound(model: Model, measure: Measure) -> Bound:
    """Compile the bound of the method: beta = 1 and the likelihood weighting, whatever it was trained with.

    z is that of x_z: of x itself for the bound, of another image for the control, which separates information in z from a correction of the prior. A
    model that decodes in one pass has no diffusion term; its last term is that of p(x_0 | z).
    """
    model = in_float32(model)
    sde = model.decoder.sde

    def one_draw(
        params: ModelParams, key: PRNGKey, strata: Strata, x: Points, x_z: Points, index: Indices
    ) -> Float[Array, "batch terms"]:
        # One key for the images' noise, with z and without: their difference is what z is worth on the same noise and levels.
        key_z, key = jax.random.split(key)
        q = required(model.encode, "encode")(params, x_z)
        z = q.sample(keys_of(key_z, index))
        if model.score is None:
            none = jnp.zeros(x.shape[:1])
            p = required(model.likelihood, "likelihood")(params, z)
            return _stacked(measure, Terms(q.kl_to_standard(), none, none, measure.one_pass(p, x)), x)
        return _stacked(measure, measure.terms(sde, q, model.score(params, z), strata, key, Batch(x, index)), x)

    return partial(over_devices(one_draw, shared=3), model.params)


def prior_bound(model: Model, measure: Measure) -> Bound:
    """Compile the bound of the unconditional prior alone; x_z is unused."""
    model = in_float32(model)
    sde, prior = model.decoder.sde, required(model.prior, "prior")

    def one_draw(
        params: ModelParams, key: PRNGKey, strata: Strata, x: Points, x_z: Points, index: Indices
    ) -> Float[Array, "batch terms"]:
        del x_z
        _, key = jax.random.split(key)
        return _stacked(measure, measure.terms(sde, None, prior(params), strata, key, Batch(x, index)), x)

    return partial(over_devices(one_draw, shared=3), model.params)


def terms_per_image(
    label: str | None,
    bound: Bound,
    x: np.ndarray,
    x_z: np.ndarray,
    draws: int,
    seed: int,
    batch_size: int,
    cache: ResumeCache | None = None,
) -> dict[str, np.ndarray]:
    """Return term (and "total") -> the bound of each example [n] in its measure's unit, the mean of `draws` draws."""
    key, strata = replicate((stream(seed, "bound"), jnp.int32(len(x) * draws)))
    one_draw = lambda x, x_z, index: bound(key, strata, x, x_z, index)
    found = mean_of_draws(label, (x, x_z), draws, one_draw, batch_size, cache)
    return dict(zip((*Terms._fields, "total"), found.T, strict=True))


def _stacked(measure: Measure, terms: Terms, x: Points) -> Float[Array, "batch terms"]:
    return jnp.stack([measure.unit(nats, x) for nats in (*terms, terms.total)], axis=-1)
