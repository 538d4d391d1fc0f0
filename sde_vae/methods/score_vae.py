"""ScoreVAE (Variational Diffusion Auto-encoder, arXiv:2304.12141).

    s(x, z, t) = s_theta(x, t) + gamma grad_x log q_phi(z | x, t),      z ~ q_phi(z | x_0, 0)

    loss = KL(q_phi(z | x_0) || N(0, I)) beta + 1/2 int w(l) E || eps_hat - eps ||^2 dl

Only phi is trained. z is drawn once from q(z | x_0), and not from q(z | x_t) as the paper's notation suggests. Gradients flow
through that draw and through the encoder at x_t.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sde_vae.arrays import keys_of
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import Penalty
from sde_vae.diffusion.losses import denoising
from sde_vae.diffusion.scores import bayes
from sde_vae.diffusion.sdes import SDE
from sde_vae.diffusion.time_samplers import TimeSampler
from sde_vae.diffusion.weights import Weight
from sde_vae.methods.method import Method, required
from sde_vae.methods.posteriors import Posterior
from sde_vae.types import Batch, Frozen, Keys, Latents, Metrics, Params, PerExample, Points, PRNGKey, Scalar, ScoreFn

# LogDensity(q, z) -> [batch]: DiagGaussian.log_prob, or DiagGaussian.quadratic as in the authors' code.
LogDensity = Callable[[DiagGaussian, Any], PerExample]
# Conditional(params, frozen, z, gamma, keys) -> the score of x given z; with keys, one per example, the encoder's dropout is on
Conditional = Callable[[Params, Frozen, Any, float, Keys | None], ScoreFn]


def by_bayes(prior: Method, posterior: Posterior, log_density: LogDensity) -> Conditional:
    """Return the score of the prior plus gamma times the gradient of log q(z | x_t), of z in whatever form `log_density` takes it.

    `params` are the posterior's. `frozen` has the parameters of the stage "prior".
    """
    prior_score = required(prior.unconditional, "unconditional")

    def conditional(params: Params, frozen: Frozen, z: Any, gamma: float, keys: Keys | None) -> ScoreFn:
        def log_likelihood(x: Points, t: PerExample) -> PerExample:
            return log_density(posterior.noisy(params, frozen, x, t, keys), posterior.lift(params, z, t))

        return bayes(prior_score(frozen["prior"], {}), log_likelihood, gamma)

    return conditional


def score_vae(
    sde: SDE,
    prior: Method,
    posterior: Posterior,
    times: TimeSampler,
    weight: Weight,
    penalty: Penalty,
    guidance: float = 1.0,
    log_density: LogDensity = DiagGaussian.log_prob,
) -> Method:
    """Return the method ScoreVAE.

    `params` are the encoder's. `frozen` has the EMA parameters of the stage "prior". `guidance` (gamma) applies in decoding and
    not in training.
    """
    conditional, of_class = by_bayes(prior, posterior, log_density), prior.labelled

    def encode(params: Params, frozen: Frozen, x: Points) -> DiagGaussian:
        del frozen
        return posterior.clean(params, x)

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        # Training differentiates `params` only. This holds too for callers that differentiate both.
        frozen = jax.lax.stop_gradient(frozen)
        # The first keys do not depend on the number of keys: without dropout, key_clean and key_noisy are not used.
        key_z, key, key_clean, key_noisy = jax.random.split(key, 4)
        q = posterior.clean(params, batch.x, keys_of(key_clean, batch.index))
        z = q.sample(keys_of(key_z, batch.index))
        score = conditional(params, frozen, z, 1.0, keys_of(key_noisy, batch.index))
        diffusion = jnp.mean(denoising(sde, score, times, weight, key, batch))
        total = diffusion + jnp.mean(penalty(q, batch.step))
        return total, {"loss": total, "loss/diffusion": diffusion, "loss/kl": jnp.mean(q.kl_to_standard())}

    def score(params: Params, frozen: Frozen, z: Latents) -> ScoreFn:
        return conditional(params, frozen, z, guidance, None)

    def unconditional(params: Params, frozen: Frozen) -> ScoreFn:
        del params
        return required(prior.unconditional, "unconditional")(frozen["prior"], {})

    labelled = (lambda params, frozen, label: of_class(frozen["prior"], {}, label)) if of_class else None
    return Method(posterior.init, loss, encode, score, unconditional=unconditional, labelled=labelled)
