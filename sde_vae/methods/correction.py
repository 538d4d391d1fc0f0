"""ScoreVAE+ (arXiv:2304.12141, section 4.3): what Bayes' rule with the encoder's density leaves over, learnt.

    s(x, z, t) = s_theta(x, t) + gamma grad_x log q_phi(z | x, t) + c_psi(x, z, t)

c_psi is trained on the residual, the prior and the encoder frozen. It is learnt as a velocity, so that at high noise, where z has
most to say, an output of order one is a change of order one in E[x_0 | x_t, z]; in noise units that would be an output of alpha / sigma.

It is a network that is awake at initialisation times a gate, one number that is zero then: before training this *is* ScoreVAE. What is
left to learn is small beside the gradient's noise. A last layer that is zero instead is filled with that noise first, and what descends
then is to switch off the features behind it: so learnt, and as noise, it stood still on two of the three mixtures of
benchmarks/results/mixture_gap.md, and this on one.
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
from sde_vae.methods.method import Method
from sde_vae.methods.prior import network_log_snr, precondition
from sde_vae.nets.network import Network
from sde_vae.types import Batch, Frozen, Keys, Latents, Metrics, Params, PerExample, Points, PRNGKey, Scalar, ScoreFn

# Residual(params, the prior's parameters, x, t, z, keys) -> what is added to the velocity; with keys, with dropout
Residual = Callable[[Params, Params, Points, PerExample, Latents, Keys | None], Points]


class Corrector(NamedTuple):
    """init(key) -> params; residual: not zero for those, which the gate sees to."""

    init: Callable[[PRNGKey], Params]
    residual: Residual


def of_images(sde: SDE, network: Network) -> Corrector:
    """A conditional network of its own, as large as one likes: it sees x_t, t and z."""

    def residual(params: Params, prior: Params, x: Points, t: PerExample, z: Latents, keys: Keys | None) -> Points:
        del prior
        return precondition(sde, network, params, x, t, keys, z=z)

    return Corrector(network.init, residual)


def of_features(sde: SDE, features: Network, head: Network) -> Corrector:
    """A small head on the frozen prior's features; `features` is applied with the prior's parameters."""

    def residual(params: Params, prior: Params, x: Points, t: PerExample, z: Latents, keys: Keys | None) -> Points:
        seen = precondition(sde, features, prior, x, t).astype(x.dtype)
        return head.apply(params, seen, network_log_snr(sde, t), keys, z=z)

    return Corrector(head.init, residual)


def corrected(
    sde: SDE, base: Method, guided: Method, corrector: Corrector, times: TimeSampler, weight: Weight
) -> Method:
    """`params` are {"corrector", "gate"}; `frozen` has those of the stages "prior" and "encoder" (EMA). `base` is ScoreVAE without guidance, which is
    corrected, and `guided` the one that decodes.
    """

    def init(key: PRNGKey) -> Params:
        return {"corrector": corrector.init(key), "gate": jnp.zeros(())}

    def encode(params: Params, frozen: Frozen, x: Points) -> DiagGaussian:
        del params
        return base.encode(frozen["encoder"], frozen, x)

    def plus(params: Params, frozen: Frozen, z: Latents, score_vae: Method, keys: Keys | None) -> ScoreFn:
        uncorrected = score_vae.score(frozen["encoder"], frozen, z)

        def sum_of_both(x: Points, t: PerExample) -> Points:
            residual = params["gate"] * corrector.residual(params["corrector"], frozen["prior"], x, t, z, keys)
            # Of x = 0: a difference of velocities, not a velocity.
            return uncorrected(x, t) + score_of_noise(sde, noise_of_velocity(sde, residual, jnp.zeros_like(x), t), t)

        return sum_of_both

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        frozen = jax.lax.stop_gradient(frozen)
        key_z, key_dropout, key = jax.random.split(key, 3)
        z = encode(params, frozen, batch.x).sample(keys_of(key_z, batch.index))
        score = plus(params, frozen, z, base, keys_of(key_dropout, batch.index))
        total = jnp.mean(denoising(sde, score, times, weight, key, batch))
        return total, {"loss": total}

    def score(params: Params, frozen: Frozen, z: Latents) -> ScoreFn:
        return plus(params, frozen, z, guided, None)

    def unconditional(params: Params, frozen: Frozen) -> ScoreFn:
        del params
        return base.unconditional(frozen["encoder"], frozen)

    return Method(init, loss, encode, score, unconditional=unconditional)
