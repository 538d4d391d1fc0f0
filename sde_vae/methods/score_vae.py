"""ScoreVAE (Variational Diffusion Auto-encoder, arXiv:2304.12141).

    s(x, z, t) = s_theta(x, t) + gamma grad_x log q_phi(z | x, t),      z ~ q_phi(z | x_0, 0)

    loss = KL(q_phi(z | x_0) || N(0, I)) beta + 1/2 int w(l) E || eps_hat - eps ||^2 dl

Only phi is trained. z is drawn once from q(z | x_0) and not from q(z | x_t), where the paper's notation slips; gradients flow
through that draw and through the encoder at x_t.
"""

import jax
import jax.numpy as jnp

from sde_vae.arrays import keys_of
from sde_vae.gaussians import DiagGaussian
from sde_vae.losses import TimeSampler, Weight, denoising
from sde_vae.method import Method
from sde_vae.methods.prior import condition
from sde_vae.nets.network import Network
from sde_vae.scores import bayes
from sde_vae.sdes import SDE
from sde_vae.types import Batch, Latents, Metrics, Params, PerExample, Points, PRNGKey, Scalar, ScoreFn


def score_vae(
    sde: SDE, prior: Method, encoder: Network, times: TimeSampler, weight: Weight, beta: float, guidance: float = 1.0
) -> Method:
    """`params` are the encoder's, `frozen` the prior's (its EMA). `guidance` (gamma) applies when decoding, not in training."""

    def posterior(params: Params, x: Points, t: PerExample) -> DiagGaussian:
        return condition(sde, encoder, params, x, t)

    def encode(params: Params, frozen: Params, x: Points) -> DiagGaussian:
        del frozen
        return posterior(params, x, jnp.zeros(x.shape[:1], x.dtype))

    def conditional(params: Params, frozen: Params, z: Latents, gamma: float) -> ScoreFn:
        return bayes(prior.score(frozen, None, None), lambda x, t: posterior(params, x, t).log_prob(z), gamma)

    def loss(params: Params, frozen: Params, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        # Training differentiates in `params` alone; this keeps it true of whoever differentiates in both.
        frozen = jax.lax.stop_gradient(frozen)
        key_z, key = jax.random.split(key)
        q = encode(params, frozen, batch.x)
        z = q.sample(keys_of(key_z, batch.index))
        score = conditional(params, frozen, z, 1.0)
        diffusion = jnp.mean(denoising(sde, score, times, weight, key, batch))
        kl = jnp.mean(q.kl_to_standard())
        total = diffusion + beta * kl
        return total, {"loss": total, "loss/diffusion": diffusion, "loss/kl": kl}

    def score(params: Params, frozen: Params, z: Latents) -> ScoreFn:
        return conditional(params, frozen, z, guidance)

    return Method(encoder.init, loss, encode, score)
