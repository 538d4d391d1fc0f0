"""Trace the train steps of a config without computing anything."""

import jax
import jax.numpy as jnp

from sde_vae.methods.latent_prior import Moments
from sde_vae.training.train_state import init_state, make_update
from sde_vae.types import Batch


def trace_steps(experiment, shapes=None):
    """Trace one step of each stage: the state that comes out has the shapes and types of the one that goes in, and the loss is a number.

    `shapes` has the shape of the examples of stages that train on others than the model's.
    """
    trained = {}
    for stage in experiment.stages:
        state = jax.eval_shape(lambda key, s=stage: init_state(s.method, s.optimiser, key), jax.random.key(0))
        x = jax.ShapeDtypeStruct((stage.batch_size, *(shapes or {}).get(stage.name, experiment.shape)), jnp.float32)
        index = jax.ShapeDtypeStruct((stage.batch_size,), jnp.int32)
        batch = Batch(x, index, label=index)
        update = make_update(stage.method, stage.optimiser, stage.ema_decay)
        frozen = {name: trained[name] for name in stage.depends_on}
        if stage.name == "latent":
            frozen["moments"] = Moments(*2 * [jax.ShapeDtypeStruct((experiment.latent_dim,), jnp.float32)])
        new_state, metrics = jax.eval_shape(update, state, frozen, jax.random.key(0), batch)
        trained[stage.name] = state.params
        assert jax.tree.map(lambda a: (a.shape, a.dtype), new_state) == jax.tree.map(
            lambda a: (a.shape, a.dtype), state
        )
        assert metrics["loss"].shape == ()
