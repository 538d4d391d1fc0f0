"""The unconditional diffusion model: the prior of ScoreVAE (arXiv:2011.13456)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sde_vae.arrays import expand, keys_of
from sde_vae.diffusion.losses import denoising
from sde_vae.diffusion.scores import noise_of_denoised, noise_of_flow, noise_of_velocity, score_of_noise
from sde_vae.diffusion.sdes import SDE
from sde_vae.diffusion.time_samplers import TimeSampler
from sde_vae.diffusion.weights import Weight
from sde_vae.methods.method import Method
from sde_vae.nets.network import Network
from sde_vae.types import Batch, Frozen, Keys, Metrics, Params, PerExample, Points, PRNGKey, Scalar, ScoreFn

# Prediction(sde, output, x, t) -> eps_hat: the conversion of the network's output to noise.
Prediction = Callable[[SDE, Points, Points, PerExample], Points]


def predicts_noise(sde: SDE, output: Points, x: Points, t: PerExample) -> Points:
    """Return the output, which is eps_hat as in DDPM."""
    del sde, x, t
    return output


def predicts_velocity(sde: SDE, output: Points, x: Points, t: PerExample) -> Points:
    """Return eps_hat for an output that is the velocity. At high noise eps_hat is then accurate from the first update on."""
    return noise_of_velocity(sde, output, x, t)


def predicts_denoised(sde: SDE, output: Points, x: Points, t: PerExample) -> Points:
    """Return eps_hat for an output that is E[x_0 | x_t]. Where sigma is small, an error of the output is an error of eps_hat over sigma."""
    return noise_of_denoised(sde, output, x, t)


def predicts_flow(sde: SDE, output: Points, x: Points, t: PerExample) -> Points:
    """Return eps_hat for an output that is the flow eps - x_0, as in flow matching. It too is accurate at high noise."""
    return noise_of_flow(sde, output, x, t)


def precondition(sde: SDE, network: Network, params: Params, x: Points, t: PerExample, *rest: Any, **more: Any) -> Any:
    """Apply a network to x_t: x is scaled to unit variance (for data of unit variance), and t is given as logSNR."""
    scale = jax.lax.rsqrt(jnp.square(sde.alpha(t)) + jnp.square(sde.sigma(t)))
    return network.apply(params, expand(scale, x) * x, network_log_snr(sde, t), *rest, **more)


def network_log_snr(sde: SDE, t: PerExample) -> PerExample:
    """Return the logSNR that networks take for t: [batch]. Below t_min it is that of t_min, because logSNR is infinite at 0."""
    return sde.log_snr(jnp.maximum(t, sde.t_min))


def prior_score(
    sde: SDE, network: Network, prediction: Prediction, params: Params, keys: Keys | None = None, **condition: Any
) -> ScoreFn:
    """Return the score s_theta(x, t) of a network and its parameters; with `keys`, one per example, its dropout is on.

    `condition` has the further inputs of a conditional network: z [batch, latent], and keep [batch], which is 0 where z is left out.
    """

    def score(x: Points, t: PerExample) -> Points:
        output = precondition(sde, network, params, x, t, keys, **condition)
        return score_of_noise(sde, prediction(sde, output, x, t), t)

    return score


def prior(sde: SDE, network: Network, prediction: Prediction, times: TimeSampler, weight: Weight) -> Method:
    """Return the method that trains s_theta(x, t) by denoising score matching. Dropout is on in training only."""

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        del frozen
        key, key_dropout = jax.random.split(key)
        score = prior_score(sde, network, prediction, params, keys_of(key_dropout, batch.index))
        total = jnp.mean(denoising(sde, score, times, weight, key, batch))
        return total, {"loss": total}

    def unconditional(params: Params, frozen: Frozen) -> ScoreFn:
        del frozen
        return prior_score(sde, network, prediction, params)

    return Method(network.init, loss, unconditional=unconditional)
