"""The evidence bound on held-out images, every term named, in bits/dim: that of the method, and that of its prior alone."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sde_vae.arrays import keys_of
from sde_vae.bounds.discretised import discretised
from sde_vae.bounds.terms import Terms, evidence_bound
from sde_vae.bounds.terms import bits_per_dim as in_bits_per_dim
from sde_vae.evaluators.monte_carlo import mean_of_draws
from sde_vae.evaluators.subject import Subject
from sde_vae.metrics.images import standard_error
from sde_vae.types import Batch

# Draws of (z, t, eps) an image: the diffusion term is a Monte Carlo estimate.
DRAWS = 16
Named = Iterator[tuple[str, float]]


def bits_per_dim(subject: Subject) -> Named:
    """The bounds of the models as they stand (beta = 1, likelihood weight), whatever losses they were trained with.

    The two bound different things: that of the method p(z) p(x | z), that of the prior the pre-trained p(x). A method that decodes
    at once has no diffusion, and the mass of its p(x_0 | z) on the steps of the data as the last term.
    """
    model, strata = subject.model, len(subject.data.test) * DRAWS
    sde, levels = model.decoder.sde, subject.data.levels
    # One key for both: what z is worth is the difference on the same images, noise and levels.
    key_z, key = jax.random.split(jax.random.key(subject.seed))

    def of_method(batch: Batch) -> Terms:
        q = model.encode(batch.x)
        z = q.sample(keys_of(key_z, batch.index))
        if model.score is None:
            none = jnp.zeros(batch.x.shape[:1])
            return Terms(q.kl_to_standard(), none, none, discretised(model.likelihood(z), levels, batch.x))
        return evidence_bound(sde, q, model.score(z), levels, strata, key, batch)

    with_z = terms_per_image("bound", subject, of_method)
    yield from named("bits_per_dim", with_z)
    if model.prior is not None:
        of_prior = lambda batch: evidence_bound(sde, None, model.prior, levels, strata, key, batch)
        without = terms_per_image("bound of the prior", subject, of_prior)
        yield from named("prior/bits_per_dim", without)
        difference = with_z["total"] - without["total"]
        yield "bits_per_dim/above_prior", float(difference.mean())
        yield "bits_per_dim/above_prior_stderr", standard_error(difference)
    yield "bits_per_dim/draws", float(DRAWS)


def named(name: str, terms: dict[str, np.ndarray]) -> Named:
    """name/TERM and its standard error over the images, which holds the Monte Carlo error of an image's draws too."""
    for term, values in terms.items():
        yield f"{name}/{term}", float(values.mean())
        yield f"{name}/{term}_stderr", standard_error(values)


def terms_per_image(label: str, subject: Subject, one_draw: Callable[[Batch], Terms]) -> dict[str, np.ndarray]:
    """Term (and "total") -> bits/dim of each image: [n]."""

    def of_terms(batch: Batch) -> Float[Array, "batch terms"]:
        terms = one_draw(batch)
        return jnp.stack([in_bits_per_dim(nats, batch.x) for nats in (*terms, terms.total)], axis=-1)

    found = mean_of_draws(label, subject, len(subject.data.test), DRAWS, of_terms)
    return dict(zip((*Terms._fields, "total"), found.T, strict=True))
