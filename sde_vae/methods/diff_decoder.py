"""DiffDecoder: a conditional diffusion model s(x, z, t), trained together with the encoder of its z.

    loss = 1/2 int w(l) E || eps_hat(x_l, z) - eps ||^2 dl + beta KL(q(z | x_0) || N(0, I))

ScoreVAE is compared with it in arXiv:2304.12141. Without the KL it is the diffusion auto-encoder (DiffAE, arXiv:2111.15640).
"""

import jax
import jax.numpy as jnp

from sde_vae.arrays import keys_of
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import Penalty
from sde_vae.diffusion.losses import denoising
from sde_vae.diffusion.scores import classifier_free
from sde_vae.diffusion.sdes import SDE
from sde_vae.diffusion.time_samplers import TimeSampler
from sde_vae.diffusion.weights import Weight
from sde_vae.methods.method import Method
from sde_vae.methods.posteriors import Posterior
from sde_vae.methods.prior import Prediction, prior_score
from sde_vae.nets.network import Network
from sde_vae.types import Batch, Frozen, Keys, Latents, Metrics, Params, PerExample, Points, PRNGKey, Scalar, ScoreFn


def diff_decoder(
    sde: SDE,
    posterior: Posterior,
    network: Network,
    prediction: Prediction,
    times: TimeSampler,
    weight: Weight,
    penalty: Penalty,
    latent_dropout: float = 0.0,
    guidance: float = 1.0,
) -> Method:
    """Return the method DiffDecoder. `params` has the keys "encoder" and "decoder"; `frozen` is not used.

    `latent_dropout` is the share of examples that are trained without z (classifier-free guidance, arXiv:2207.12598). With a
    `guidance` other than 1, decoding uses s(x, t) + guidance (s(x, z, t) - s(x, t)). That needs latent_dropout > 0 in training.
    """

    def init(key: PRNGKey) -> Params:
        key_encoder, key_decoder = jax.random.split(key)
        return {"encoder": posterior.init(key_encoder), "decoder": network.init(key_decoder)}

    def encode(params: Params, frozen: Frozen, x: Points) -> DiagGaussian:
        del frozen
        return posterior.clean(params["encoder"], x)

    def conditional(params: Params, z: Latents, keep: PerExample | None, keys: Keys | None) -> ScoreFn:
        return prior_score(sde, network, prediction, params["decoder"], keys, z=z, keep=keep)

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        del frozen
        key_z, key_keep, key_decoder, key, key_encoder = jax.random.split(key, 5)
        q = posterior.clean(params["encoder"], batch.x, keys_of(key_encoder, batch.index))
        z = q.sample(keys_of(key_z, batch.index))
        keep = 1.0 - jax.vmap(lambda key: jax.random.bernoulli(key, latent_dropout))(keys_of(key_keep, batch.index))
        score = conditional(params, z, keep.astype(z.dtype), keys_of(key_decoder, batch.index))
        diffusion = jnp.mean(denoising(sde, score, times, weight, key, batch))
        total = diffusion + jnp.mean(penalty(q, batch.step))
        return total, {"loss": total, "loss/diffusion": diffusion, "loss/kl": jnp.mean(q.kl_to_standard())}

    def score(params: Params, frozen: Frozen, z: Latents) -> ScoreFn:
        del frozen
        with_z = conditional(params, z, None, None)
        if guidance == 1:
            return with_z
        return classifier_free(with_z, conditional(params, z, jnp.zeros(z.shape[:1], z.dtype), None), guidance)

    return Method(init, loss, encode, score)
