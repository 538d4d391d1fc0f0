"""The evidence bound of a trained model, image by image, in bits per dimension."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sde_vae.arrays import keys_of
from sde_vae.bounds.discretised import discretised
from sde_vae.bounds.terms import Terms, bits_per_dim, evidence_bound
from sde_vae.devices import over_devices, replicate
from sde_vae.inference.model import Model, ModelParams, in_float32
from sde_vae.inference.monte_carlo import mean_of_draws
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.keys import stream
from sde_vae.methods.method import required
from sde_vae.types import Batch, Indices, Points, PRNGKey, Strata

# Bound(key, strata, x, x_z, index) -> [batch, terms], one draw of every term and their total; z ~ q(z | x_z)
Bound = Callable[[PRNGKey, Strata, Points, Points, Indices], Float[Array, "batch terms"]]


def method_bound(model: Model, levels: int) -> Bound:
    """Compile the bound of the method: beta = 1 and the likelihood weighting, whatever it was trained with.

    z is that of x_z: of x itself for the bound, of another image for the control, which separates information in z from a correction of the prior. A
    model that decodes in one pass has no diffusion term; its last term is the mass of p(x_0 | z) on the data's grey levels.
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
            return _stacked(Terms(q.kl_to_standard(), none, none, discretised(p, levels, x)), x)
        return _stacked(evidence_bound(sde, q, model.score(params, z), levels, strata, key, Batch(x, index)), x)

    return partial(over_devices(one_draw, shared=3), model.params)


def prior_bound(model: Model, levels: int) -> Bound:
    """Compile the bound of the unconditional prior alone; x_z is unused."""
    model = in_float32(model)
    sde, prior = model.decoder.sde, required(model.prior, "prior")

    def one_draw(
        params: ModelParams, key: PRNGKey, strata: Strata, x: Points, x_z: Points, index: Indices
    ) -> Float[Array, "batch terms"]:
        del x_z
        _, key = jax.random.split(key)
        return _stacked(evidence_bound(sde, None, prior(params), levels, strata, key, Batch(x, index)), x)

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
    """Return term (and "total") -> bits per dimension of each image [n], the mean of `draws` draws."""
    key, strata = replicate((stream(seed, "bound"), jnp.int32(len(x) * draws)))
    one_draw = lambda x, x_z, index: bound(key, strata, x, x_z, index)
    found = mean_of_draws(label, (x, x_z), draws, one_draw, batch_size, cache)
    return dict(zip((*Terms._fields, "total"), found.T, strict=True))


def _stacked(terms: Terms, x: Points) -> Float[Array, "batch terms"]:
    return jnp.stack([bits_per_dim(nats, x) for nats in (*terms, terms.total)], axis=-1)
