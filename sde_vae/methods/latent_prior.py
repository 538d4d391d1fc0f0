"""Latent diffusion: a diffusion model of the codes z ~ q(z | x_0), so that new images can be decoded from new codes.

The same SDE, losses and solvers, on vectors: it is `prior` whose data are codes (DiffAE, arXiv:2111.15640, section 4.4; LSGM,
arXiv:2106.05931).
"""

import jax

from sde_vae.arrays import keys_of
from sde_vae.method import Method
from sde_vae.types import Batch, Metrics, Params, PRNGKey, Scalar


def latent_prior(prior_of_codes: Method, method: Method) -> Method:
    """`params` are those of `prior_of_codes`; `frozen` is (what `method` stands on, its own parameters). Its score is of codes."""

    def loss(params: Params, frozen: Params, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        below, trained = frozen
        key_z, key = jax.random.split(key)
        z = jax.lax.stop_gradient(method.encode(trained, below, batch.x).sample(keys_of(key_z, batch.index)))
        return prior_of_codes.loss(params, None, key, batch._replace(x=z))

    return Method(prior_of_codes.init, loss, None, prior_of_codes.score)
