"""beta-VAE (Kingma & Welling 2013, arXiv:1312.6114; Higgins et al. 2017): a Gaussian decoder, evaluated once.

    loss = E_q -log N(x_0; mean(z), var) + beta KL(q(z | x_0) || N(0, I))

With beta = 1 the loss is the negative evidence bound of the data's density. The encoder is ScoreVAE's, at t = 0.
"""

import jax
import jax.numpy as jnp

from sde_vae.arrays import keys_of
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import Penalty
from sde_vae.methods.method import Method
from sde_vae.methods.posteriors import Posterior
from sde_vae.nets.network import Network
from sde_vae.types import Batch, Frozen, Latents, Metrics, Params, Points, PRNGKey, Scalar


def beta_vae(posterior: Posterior, decoder: Network, penalty: Penalty) -> Method:
    """Return the method beta-VAE. `params` has the keys "encoder" and "decoder"; `frozen` is not used."""

    def init(key: PRNGKey) -> Params:
        key_encoder, key_decoder = jax.random.split(key)
        return {"encoder": posterior.init(key_encoder), "decoder": decoder.init(key_decoder)}

    def encode(params: Params, frozen: Frozen, x: Points) -> DiagGaussian:
        del frozen
        return posterior.clean(params["encoder"], x)

    def likelihood(params: Params, frozen: Frozen, z: Latents) -> DiagGaussian:
        del frozen
        return decoder.apply(params["decoder"], z)

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        key_z, key_dropout = jax.random.split(key)
        q = posterior.clean(params["encoder"], batch.x, keys_of(key_dropout, batch.index))
        p = likelihood(params, frozen, q.sample(keys_of(key_z, batch.index)))
        reconstruction = -jnp.mean(p.log_prob(batch.x))
        total = reconstruction + jnp.mean(penalty(q, batch.step))
        return total, {"loss": total, "loss/reconstruction": reconstruction, "loss/kl": jnp.mean(q.kl_to_standard())}

    return Method(init, loss, encode, likelihood=likelihood)
