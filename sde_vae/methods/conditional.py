"""Conditional estimators of grad_x log p(x_t | y), trained on pairs (x, y) (arXiv:2111.13606 and 2207.09786).

    CDE       s(x_t, y, t)          y is clean
    CDiffE    s(x_t, y_t, t)        the joint score of x_t and y_t, both diffused by one SDE
    CMDE      s(x_t, y_t, t)        y_t is diffused by a slower SDE of its own
    VS-CMDE   s(x_t, y_t, t, l_y)   y's SDE changes from x's to its own while training; the network is told y's logSNR

With y_t in the place of y, grad_x log p(x_t | y_t) stands for grad_x log p(x_t | y). In sampling, y_t is drawn afresh from
p(y_t | y) at every time. CMDE with y's SDE equal to x's is CDiffE. Without noise in y its loss in x is CDE's.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sde_vae.arrays import expand, keys_of, normal
from sde_vae.diffusion.between import Between
from sde_vae.diffusion.losses import denoising, joint_denoising, seen
from sde_vae.diffusion.scores import score_of_noise
from sde_vae.diffusion.sdes import SDE, diffuse
from sde_vae.diffusion.time_samplers import TimeSampler
from sde_vae.diffusion.weights import Weight
from sde_vae.keys import stream
from sde_vae.methods.method import Method
from sde_vae.methods.observation import Observe, Operator
from sde_vae.methods.prior import Prediction, network_log_snr
from sde_vae.nets.network import Network
from sde_vae.types import (
    Batch,
    Condition,
    Frozen,
    Keys,
    Metrics,
    Observed,
    Params,
    PerExample,
    Points,
    PRNGKey,
    Scalar,
    ScoreFn,
)

# Speed(step) -> y's SDE at this step of training; a step of None is after training.
Speed = Callable[[Any], SDE]


def constant_speed(sde: SDE) -> Speed:
    """Return the speed of CMDE, and with x's own SDE that of CDiffE: y's SDE is the same at every step."""
    return lambda step: sde


def reduced_speed(first: SDE, last: SDE, steps: int) -> Speed:
    """Return the speed of VS-CMDE: y's SDE goes from `first`, which is x's, to `last` over so many steps."""

    def speed(step: Any) -> SDE:
        return last if step is None else Between(first, last, jnp.minimum(step / steps, 1.0))

    return speed


def cde(
    sde: SDE,
    observe: Observe,
    operator: Operator,
    network: Network,
    prediction: Prediction,
    times: TimeSampler,
    weight: Weight,
) -> Method:
    """Return CDE, conditional denoising: the network takes x_t and y, concatenated.

    `network` maps [batch, H, W, C + k (+ 1 with masks)] and logSNR to [batch, H, W, C]. This is also the conditioning of SR3
    (arXiv:2104.07636) and Palette (arXiv:2111.05826).
    """

    def score_given(params: Params, condition: Condition, keys: Keys | None) -> ScoreFn:
        def score(x: Points, t: PerExample) -> Points:
            inputs = joined(_scaled(sde, x, t), condition.y, condition, operator)
            output = network.apply(params, inputs, network_log_snr(sde, t), keys)
            return score_of_noise(sde, prediction(sde, output, x, t), t)

        return score

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        del frozen
        key_y, key_network, key = jax.random.split(key, 3)
        x, condition = observe(batch.x, keys_of(key_y, batch.index))
        score = score_given(params, condition, keys_of(key_network, batch.index))
        total = jnp.mean(denoising(sde, score, times, weight, key, batch._replace(x=x)))
        return total, {"loss": total}

    def score(params: Params, frozen: Frozen, condition: Condition) -> ScoreFn:
        del frozen
        return score_given(params, condition, None)

    return Method(network.init, loss, score=score)


def cmde(
    sde: SDE,
    speed: Speed,
    observe: Observe,
    operator: Operator,
    network: Network,
    prediction: Prediction,
    times: TimeSampler,
    weight: Weight,
) -> Method:
    """Return CMDE, the conditional multi-speed diffusive estimator; by its speed CDiffE or VS-CMDE.

    `network` maps [batch, H, W, C + k (+ 1 with masks)], x's logSNR and y's logSNR (as z [batch, 1]) to [batch, H, W, C + k]: what the
    prediction takes of x, and of y. The metrics name x's part of the loss and y's.
    """

    def noise_given(params: Params, y_sde: SDE, condition: Condition, keys: Keys | None) -> Callable:
        def noise(x: Points, y: Observed, t: PerExample) -> tuple[Points, Observed]:
            inputs = joined(_scaled(sde, x, t), _scaled(y_sde, y, t), condition, operator)
            # Of the order of 1, as a network's inputs are.
            level = network_log_snr(y_sde, t)[:, None] / 10
            output = network.apply(params, inputs, network_log_snr(sde, t), keys, z=level)
            channels = x.shape[-1]
            of_x = prediction(sde, output[..., :channels], x, t)
            return of_x, prediction(y_sde, operator.down(output[..., channels:]), y, t)

        return noise

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        del frozen
        key_y, key_network, key = jax.random.split(key, 3)
        x, condition = observe(batch.x, keys_of(key_y, batch.index))
        y_sde = speed(batch.step)
        noise = noise_given(params, y_sde, condition, keys_of(key_network, batch.index))
        parts = joint_denoising(sde, y_sde, noise, times, weight, key, batch._replace(x=x), condition)
        of_x, of_y = map(jnp.mean, parts)
        return of_x + of_y, {"loss": of_x + of_y, "loss/x": of_x, "loss/y": of_y}

    def score(params: Params, frozen: Frozen, condition: Condition) -> ScoreFn:
        del frozen
        y_sde = speed(None)
        noise = noise_given(params, y_sde, condition, None)
        return lambda x, t: score_of_noise(sde, noise(x, diffused(y_sde, condition, t), t)[0], t)

    return Method(network.init, loss, score=score)


def diffused(y_sde: SDE, condition: Condition, t: PerExample) -> Observed:
    """Return y_t ~ p(y_t | y). The noise is a function of each example's seed and of t, new at every time, so that the score is a function of x and t."""
    bits = jax.lax.bitcast_convert_type(t.astype(jnp.float32), jnp.uint32)
    # Of every run the same stream: what differs is the examples' seeds, which are drawn from a stream of the run's own seed.
    noise = stream(0, "noise of diffused y")
    of_example = lambda seed, at: jax.random.fold_in(jax.random.fold_in(noise, seed), at)
    keys = jax.vmap(of_example)(condition.seed, bits)
    return diffuse(y_sde, condition.y, t, seen(normal(keys, condition.y), condition))


def joined(x: Points, y: Observed, condition: Condition, operator: Operator) -> Any:
    """Return x, y at the size of x, and the mask where there is one, concatenated: the input of a network."""
    maps = [x, operator.up(y)] + ([] if condition.mask is None else [condition.mask])
    return jnp.concatenate(maps, axis=-1)


def _scaled(sde: SDE, x: Points, t: PerExample) -> Points:
    """x_t with unit variance, for data of unit variance."""
    return x * expand(jax.lax.rsqrt(jnp.square(sde.alpha(t)) + jnp.square(sde.sigma(t))), x)
