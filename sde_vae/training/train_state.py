"""The state of training, and its update."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from sde_vae.methods.method import Method, abstract_params
from sde_vae.training.accumulation import mean_over_parts
from sde_vae.types import Batch, Metrics, Params, PRNGKey

# Decay(learning_rate, steps) -> the learning rate at each step after the warm-up.
Decay = Callable[[float, int], optax.Schedule]
# Update(state, frozen, key, batch) -> (state, metrics).
Update = Callable[["TrainState", Params, PRNGKey, Batch], tuple["TrainState", Metrics]]


class Parts(NamedTuple):
    """The two parts of an update: the first needs the parameters whole, the second works on any share of each array.

    gradients(params, step, frozen, key, batch)    (gradients, metrics)
    apply(state, gradients, metrics)               (state, metrics)
    """

    gradients: Callable[[Params, jax.Array, Params, PRNGKey, Batch], tuple[Params, Metrics]]
    apply: Callable[["TrainState", Params, Metrics], tuple["TrainState", Metrics]]


class TrainState(NamedTuple):
    """The data of training. The key of a step is fold_in(key of the stage, step): no key is kept, and resuming is exact."""

    step: jax.Array  # int32, the number of updates made
    params: Params
    ema_params: Params
    opt_state: optax.OptState


def init_state(method: Method, optimiser: optax.GradientTransformation, key: PRNGKey) -> TrainState:
    """Return the state before the first update, with the EMA equal to the parameters."""
    return jax.jit(partial(_state_of, optimiser))(method.init(key))


def abstract_state(method: Method, optimiser: optax.GradientTransformation) -> TrainState:
    """Return the shapes and types of a TrainState. Nothing is allocated."""
    return jax.eval_shape(partial(_state_of, optimiser), abstract_params(method))


def _state_of(optimiser: optax.GradientTransformation, params: Params) -> TrainState:
    # A copy, because one buffer cannot be donated twice.
    return TrainState(jnp.int32(0), params, jax.tree.map(jnp.copy, params), optimiser.init(params))


def constant(learning_rate: float, steps: int) -> optax.Schedule:
    """Return a constant learning rate."""
    del steps
    return optax.constant_schedule(learning_rate)


def cosine(learning_rate: float, steps: int) -> optax.Schedule:
    """Return a learning rate that falls as half a cosine, to zero after `steps`."""
    return optax.cosine_decay_schedule(learning_rate, max(steps, 1))


def adam(learning_rate: float, steps: int, warmup: int, clip: float, decay: Decay) -> optax.GradientTransformation:
    """Return Adam with gradients clipped by global norm, a linear warm-up, and `decay` over the rest of `steps`."""
    after = decay(learning_rate, steps - warmup)
    schedule = optax.join_schedules([optax.linear_schedule(0.0, learning_rate, warmup), after], [warmup])
    return optax.chain(
        optax.clip_by_global_norm(clip),
        optax.scale_by_adam(),
        optax.scale_by_learning_rate(schedule),
    )


def make_parts(
    method: Method,
    optimiser: optax.GradientTransformation,
    ema_decay: float,
    axis_name: str | None = None,
    accumulation: int = 1,
) -> Parts:
    """Return the two parts of the update. Gradients and metrics are averaged over `axis_name`, all that it knows of devices.

    A device takes its part of the batch in `accumulation` parts, one after another: the same update in less memory.
    """

    def gradients(
        params: Params, step: jax.Array, frozen: Params, key: PRNGKey, batch: Batch
    ) -> tuple[Params, Metrics]:
        step_key = jax.random.fold_in(key, step)
        # Set here and not by the loader: a batch is split over the devices, and the step is the same on all.
        batch = batch._replace(step=step)

        def of_part(part: Batch) -> tuple[Params, Metrics]:
            return jax.grad(method.loss, has_aux=True)(params, frozen, step_key, part)

        found = mean_over_parts(of_part, batch, accumulation)
        return found if axis_name is None else jax.lax.pmean(found, axis_name)

    def apply(state: TrainState, gradients: Params, metrics: Metrics) -> tuple[TrainState, Metrics]:
        updates, opt_state = optimiser.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        # At the beginning the EMA decays faster than by ema_decay, as TensorFlow's does, to forget the initialisation.
        decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
        ema_params = jax.tree.map(lambda e, p: e + (1 - decay) * (p - e), state.ema_params, params)
        metrics = metrics | {"grad_norm": optax.tree.norm(gradients)}
        return TrainState(state.step + 1, params, ema_params, opt_state), metrics

    return Parts(gradients, apply)


def joined(parts: Parts) -> Update:
    """Return the update whose parts these are."""

    def update(state: TrainState, frozen: Params, key: PRNGKey, batch: Batch) -> tuple[TrainState, Metrics]:
        return parts.apply(state, *parts.gradients(state.params, state.step, frozen, key, batch))

    return update


def make_update(
    method: Method, optimiser: optax.GradientTransformation, ema_decay: float, accumulation: int = 1
) -> Update:
    """Return the pure update on one device: see make_parts."""
    return joined(make_parts(method, optimiser, ema_decay, None, accumulation))
