"""Latent diffusion: a diffusion model of the latent codes z ~ q(z | x_0), which gives new codes for new images.

It is `prior` on vectors, with the same SDE, losses and solvers (DiffAE, arXiv:2111.15640, section 4.4; LSGM, arXiv:2106.05931).
The latent codes are standardised as in DiffAE. An SDE, its network and its weight are designed for data of unit variance, and
the latent codes do not have it, least of all at a small beta.
"""

from typing import NamedTuple

import jax
from jaxtyping import Float

from sde_vae.arrays import keys_of
from sde_vae.methods.method import Method, required
from sde_vae.types import Batch, Frozen, Metrics, Params, PRNGKey, Scalar


class Moments(NamedTuple):
    """Mean and standard deviation of each dimension of the aggregate posterior q(z)."""

    mean: Float[jax.Array, "latent"]
    std: Float[jax.Array, "latent"]


def latent_prior(prior_of_codes: Method, method: Method, stage: str) -> Method:
    """Return the method that trains `prior_of_codes` on the standardised latent codes of `method`, trained in `stage`.

    `params` are those of `prior_of_codes`. `frozen` has the parameters of `stage` and of the stages that it depends on, and
    under "moments" the Moments of its latent codes. The unconditional score is that of u, where z = mean + std u.
    """
    encode = required(method.encode, "encode")

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        moments = frozen["moments"]
        key_z, key = jax.random.split(key)
        z = encode(frozen[stage], frozen, batch.x).sample(keys_of(key_z, batch.index))
        u = jax.lax.stop_gradient((z - moments.mean[None]) / moments.std[None])
        return prior_of_codes.loss(params, {}, key, batch._replace(x=u))

    return Method(prior_of_codes.init, loss, unconditional=prior_of_codes.unconditional)
