"""The unconditional diffusion model: the prior of ScoreVAE (arXiv:2011.13456)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from sde_vae.arrays import expand, keys_of
from sde_vae.losses import TimeSampler, Weight, denoising
from sde_vae.method import Method
from sde_vae.nets.network import Network
from sde_vae.scores import noise_of_velocity, score_of_noise
from sde_vae.sdes import SDE
from sde_vae.types import Batch, Keys, Latents, Metrics, Params, PerExample, Points, PRNGKey, Scalar, ScoreFn

# Prediction(sde, output, x, t) -> eps_hat: what the network's output means.
Prediction = Callable[[SDE, Points, Points, PerExample], Points]


def predicts_noise(sde: SDE, output: Points, x: Points, t: PerExample) -> Points:
    """The output is eps_hat (DDPM)."""
    del sde, x, t
    return output


def predicts_velocity(sde: SDE, output: Points, x: Points, t: PerExample) -> Points:
    """The output is v: eps_hat is then right at high noise from the first step on (x_t is nearly all noise there)."""
    return noise_of_velocity(sde, output, x, t)


def condition(sde: SDE, network: Network, params: Params, x: Points, t: PerExample, *rest: Any, **more: Any) -> Any:
    """Apply a network to x_t: x scaled to unit variance (for data of unit variance), t told as logSNR."""
    scale = jax.lax.rsqrt(jnp.square(sde.alpha(t)) + jnp.square(sde.sigma(t)))
    return network.apply(params, expand(scale, x) * x, told_level(sde, t), *rest, **more)


def told_level(sde: SDE, t: PerExample) -> PerExample:
    """What networks are told of t: logSNR, that of t_min for a smaller t, as in q(z | x_0, t = 0), where it is infinite."""
    return sde.log_snr(jnp.maximum(t, sde.t_min))


def prior(sde: SDE, network: Network, prediction: Prediction, times: TimeSampler, weight: Weight) -> Method:
    """Denoising score matching for s_theta(x, t), with dropout while it trains and only then."""

    def score_fn(params: Params, keys: Keys | None) -> ScoreFn:
        def score(x: Points, t: PerExample) -> Points:
            output = condition(sde, network, params, x, t, keys)
            return score_of_noise(sde, prediction(sde, output, x, t), t)

        return score

    def loss(params: Params, frozen: Params, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        del frozen
        key, key_dropout = jax.random.split(key)
        score = score_fn(params, keys_of(key_dropout, batch.index))
        total = jnp.mean(denoising(sde, score, times, weight, key, batch))
        return total, {"loss": total}

    def score(params: Params, frozen: Params, z: Latents | Array | None = None) -> ScoreFn:
        del frozen, z
        return score_fn(params, None)

    return Method(network.init, loss, None, score)
