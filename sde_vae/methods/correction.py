"""ScoreVAE+ (arXiv:2304.12141, section 4.3): a learnt correction c_psi of the score that Bayes' rule gives.

    s(x, z, t) = s_theta(x, t) + gamma grad_x log q_phi(z | x, t) + c_psi(x, z, t)

c_psi is trained on the residual, with the prior and the encoder frozen. Its output is a velocity. At high noise, where z matters
most, an output of order one then changes E[x_0 | x_t, z] by order one. In noise units the output would have to be alpha / sigma.

c_psi is a network times a gate. The network is not zero at initialisation. The gate is one number, and zero at initialisation:
before training the model *is* ScoreVAE. The residual is small compared with the noise of the gradient. A last layer initialised
at zero, in place of the gate, first fills with that noise, and the loss then falls fastest by switching off the features before
it. With such a layer, and with noise as the output, training made no progress on two of the three mixtures of
benchmarks/results/mixture_gap.md. With the gate and the velocity it made none on one.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sde_vae.arrays import keys_of
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.losses import denoising
from sde_vae.diffusion.scores import noise_of_velocity, score_of_noise
from sde_vae.diffusion.sdes import SDE
from sde_vae.diffusion.time_samplers import TimeSampler
from sde_vae.diffusion.weights import Weight
from sde_vae.methods.method import Method, required
from sde_vae.methods.prior import network_log_snr, precondition
from sde_vae.nets.network import Network
from sde_vae.types import Batch, Frozen, Keys, Latents, Metrics, Params, PerExample, Points, PRNGKey, Scalar, ScoreFn

# Residual(params, prior_params, x, t, z, keys) -> the change of the velocity, [batch, ...]; with keys, dropout is on.
Residual = Callable[[Params, Params, Points, PerExample, Latents, Keys | None], Points]


class Corrector(NamedTuple):
    """A network for c_psi: init(key) -> params, and its residual before the gate, which is not zero at initialisation."""

    init: Callable[[PRNGKey], Params]
    residual: Residual


def network_corrector(sde: SDE, network: Network) -> Corrector:
    """Return the Corrector of a separate conditional network of x_t, t and z."""

    def residual(params: Params, prior: Params, x: Points, t: PerExample, z: Latents, keys: Keys | None) -> Points:
        del prior
        return precondition(sde, network, params, x, t, keys, z=z)

    return Corrector(network.init, residual)


def head_corrector(sde: SDE, features: Network, head: Network) -> Corrector:
    """Return the Corrector of a small head on the frozen prior's features. `features` is applied with the prior's parameters."""

    def residual(params: Params, prior: Params, x: Points, t: PerExample, z: Latents, keys: Keys | None) -> Points:
        prior_features = precondition(sde, features, prior, x, t).astype(x.dtype)
        return head.apply(params, prior_features, network_log_snr(sde, t), keys, z=z)

    return Corrector(head.init, residual)


def sharing_corrector(sde: SDE, network: Network, shared: tuple[str, ...]) -> Corrector:
    """Return the Corrector of a conditional network whose submodules `shared` take the frozen prior's parameters."""

    def init(key: PRNGKey) -> Params:
        return {name: of for name, of in network.init(key).items() if name not in shared}

    def residual(params: Params, prior: Params, x: Points, t: PerExample, z: Latents, keys: Keys | None) -> Points:
        return precondition(sde, network, params | {name: prior[name] for name in shared}, x, t, keys, z=z)

    return Corrector(init, residual)


def score_of_velocity_change(sde: SDE, change: Points, t: PerExample) -> Points:
    """Return the change of the score where the velocity changes by `change`: [batch, ...]."""
    # At x = 0, because a change is a difference of two velocities.
    return score_of_noise(sde, noise_of_velocity(sde, change, jnp.zeros_like(change), t), t)


def corrected(
    sde: SDE, base: Method, guided: Method, corrector: Corrector, times: TimeSampler, weight: Weight
) -> Method:
    """Return the method ScoreVAE+.

    `params` has the keys "corrector" and "gate". `frozen` has the EMA parameters of the stages "prior" and "encoder". `base` is
    ScoreVAE without guidance, whose score is corrected in training. `guided` is ScoreVAE as it decodes.
    """
    base_encode = required(base.encode, "encode")
    base_unconditional, of_class = required(base.unconditional, "unconditional"), base.labelled

    def init(key: PRNGKey) -> Params:
        return {"corrector": corrector.init(key), "gate": jnp.zeros(())}

    def encode(params: Params, frozen: Frozen, x: Points) -> DiagGaussian:
        del params
        return base_encode(frozen["encoder"], frozen, x)

    def corrected_score(params: Params, frozen: Frozen, z: Latents, score_vae: Method, keys: Keys | None) -> ScoreFn:
        uncorrected = required(score_vae.score, "score")(frozen["encoder"], frozen, z)

        def score(x: Points, t: PerExample) -> Points:
            residual = params["gate"] * corrector.residual(params["corrector"], frozen["prior"], x, t, z, keys)
            return uncorrected(x, t) + score_of_velocity_change(sde, residual, t)

        return score

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        frozen = jax.lax.stop_gradient(frozen)
        key_z, key_dropout, key = jax.random.split(key, 3)
        z = encode(params, frozen, batch.x).sample(keys_of(key_z, batch.index))
        score = corrected_score(params, frozen, z, base, keys_of(key_dropout, batch.index))
        total = jnp.mean(denoising(sde, score, times, weight, key, batch))
        return total, {"loss": total}

    def score(params: Params, frozen: Frozen, z: Latents) -> ScoreFn:
        return corrected_score(params, frozen, z, guided, None)

    def unconditional(params: Params, frozen: Frozen) -> ScoreFn:
        del params
        return base_unconditional(frozen["encoder"], frozen)

    labelled = (lambda params, frozen, label: of_class(frozen["encoder"], frozen, label)) if of_class else None
    return Method(init, loss, encode, score, unconditional=unconditional, labelled=labelled)
