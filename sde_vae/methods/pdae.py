"""PDAE, pre-trained DPM auto-encoding (Zhang, Zhao & Lin, NeurIPS 2022, arXiv:2212.12990).

    s(x, z, t) = s_theta(x, t) + gamma G_psi(x, z, t),      z = E_phi(x_0)

    loss = 1/2 int w(l) E || eps_theta(x_l) - sigma G_psi(x_l, z) - eps ||^2 dl + beta KL(q(z | x_0) || N(0, I))

The prior is frozen. In the paper's discrete steps, G fills the gap between the prior's mean of x_{t-1} and the true one: the mean
becomes mu_theta + Sigma_theta G, as in classifier guidance. The noise eps_theta then loses sqrt(1 - abar_t) G in DDIM, and
sqrt(alpha_t) (1 - abar_{t-1}) / sqrt(1 - abar_t) G in the paper's loss. Both are sigma G for small steps. The optimal G is
grad_x log p(z | x_t). PDAE learns this gradient by a network of x_t, z and t; ScoreVAE learns it as the gradient of an encoder.
So ScoreVAE has no decoder network, and PDAE differentiates no network in x_t, in training or in decoding.

The paper's encoder is deterministic: beta = 0 with a point posterior. Its weight is `diffusion.weights.pdae`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sde_vae.arrays import keys_of
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import Penalty
from sde_vae.diffusion.losses import denoising
from sde_vae.diffusion.sdes import SDE
from sde_vae.diffusion.time_samplers import TimeSampler
from sde_vae.diffusion.weights import Weight
from sde_vae.methods.correction import Corrector, score_of_velocity_change
from sde_vae.methods.method import Method, required
from sde_vae.methods.posteriors import Posterior
from sde_vae.types import Batch, Frozen, Keys, Latents, Metrics, Params, PerExample, Points, PRNGKey, Scalar, ScoreFn

# Shift(sde, output, t) -> G, the change of the score: [batch, ...].
Shift = Callable[[SDE, Points, PerExample], Points]


def shifts_score(sde: SDE, output: Points, t: PerExample) -> Points:
    """Return the output, which is G as in the paper."""
    del sde, t
    return output


def shifts_velocity(sde: SDE, output: Points, t: PerExample) -> Points:
    """Return G for an output that is the change of the velocity. An output of order one then changes E[x_0 | x_t] by order one."""
    return score_of_velocity_change(sde, output, t)


def pdae(
    sde: SDE,
    prior: Method,
    posterior: Posterior,
    network: Corrector,
    shift: Shift,
    times: TimeSampler,
    weight: Weight,
    penalty: Penalty,
    guidance: float = 1.0,
) -> Method:
    """Return the method PDAE.

    `params` has the keys "encoder" and "shift"; `network` is G. `frozen` has the EMA parameters of the stage "prior". `guidance`
    (gamma) applies in decoding and not in training.
    """
    prior_score = required(prior.unconditional, "unconditional")

    def init(key: PRNGKey) -> Params:
        key_encoder, key_shift = jax.random.split(key)
        return {"encoder": posterior.init(key_encoder), "shift": network.init(key_shift)}

    def encode(params: Params, frozen: Frozen, x: Points) -> DiagGaussian:
        del frozen
        return posterior.clean(params["encoder"], x)

    def conditional(params: Params, frozen: Frozen, z: Latents, gamma: float, keys: Keys | None) -> ScoreFn:
        of_prior = unconditional(params, frozen)

        def score(x: Points, t: PerExample) -> Points:
            output = network.residual(params["shift"], frozen["prior"], x, t, z, keys)
            return of_prior(x, t) + gamma * shift(sde, output, t)

        return score

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        frozen = jax.lax.stop_gradient(frozen)
        key_z, key_encoder, key_shift, key = jax.random.split(key, 4)
        q = posterior.clean(params["encoder"], batch.x, keys_of(key_encoder, batch.index))
        z = q.sample(keys_of(key_z, batch.index))
        score = conditional(params, frozen, z, 1.0, keys_of(key_shift, batch.index))
        diffusion = jnp.mean(denoising(sde, score, times, weight, key, batch))
        total = diffusion + jnp.mean(penalty(q, batch.step))
        return total, {"loss": total, "loss/diffusion": diffusion, "loss/kl": jnp.mean(q.kl_to_standard())}

    def score(params: Params, frozen: Frozen, z: Latents) -> ScoreFn:
        return conditional(params, frozen, z, guidance, None)

    def unconditional(params: Params, frozen: Frozen) -> ScoreFn:
        del params
        return prior_score(frozen["prior"], {})

    return Method(init, loss, encode, score, unconditional=unconditional)
