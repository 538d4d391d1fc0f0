"""Latent diffusion: a diffusion model of the codes z ~ q(z | x_0), so that new images can be decoded from new codes.

The same SDE, losses and solvers, on vectors: it is `prior` whose data are codes (DiffAE, arXiv:2111.15640, section 4.4; LSGM,
arXiv:2106.05931), standardised as DiffAE's are: an SDE, its network and its weight are for data of width 1, and nothing gives codes
that width, least of all at a small beta.
"""

from typing import NamedTuple

import jax
from jaxtyping import Float

from sde_vae.arrays import keys_of
from sde_vae.methods.method import Method
from sde_vae.types import Batch, Frozen, Metrics, Params, PRNGKey, Scalar


class Moments(NamedTuple):
    """Of the aggregate posterior q(z), dimension by dimension."""

    mean: Float[jax.Array, "latent"]
    std: Float[jax.Array, "latent"]


def latent_prior(prior_of_codes: Method, method: Method, stage: str) -> Method:
    """Train `prior_of_codes` on the standardised latent codes of `method`, which was trained in `stage`.

    `params` are those of `prior_of_codes`. `frozen` has the parameters of `stage`, of what it depends on, and under "moments" the
    Moments of its codes. The unconditional score is of u, where z = mean + std u.
    """

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        moments = frozen["moments"]
        key_z, key = jax.random.split(key)
        z = method.encode(frozen[stage], frozen, batch.x).sample(keys_of(key_z, batch.index))
        u = jax.lax.stop_gradient((z - moments.mean[None]) / moments.std[None])
        return prior_of_codes.loss(params, {}, key, batch._replace(x=u))

    return Method(prior_of_codes.init, loss, unconditional=prior_of_codes.unconditional)
