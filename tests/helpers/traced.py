"""Programs that are traced and not computed: the train steps of a config, and the products in one."""

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

from sde_vae.methods.latent_prior import Moments
from sde_vae.training.stage import parts_of
from sde_vae.training.train_state import init_state, joined
from sde_vae.types import Batch

PRODUCTS = {"dot_general", "conv_general_dilated"}


def products(jaxpr):
    """Yield the precisions of all products of a program, of the programs that it calls as well.

    Of operations written for a platform, these are those of the others: a CPU's sums over pixels are products with ones (nets/pixels.py).
    """
    for equation in jaxpr.eqns:
        params = equation.params
        if equation.primitive.name in PRODUCTS:
            yield params["precision"]
        if platforms := params.get("branches_platforms"):
            params = {"branches": [params["branches"][platforms.index(None)]]}
        yield from (found for inner in jaxprs_in_params(params) for found in products(inner))


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
        frozen = {name: trained[name] for name in stage.depends_on}
        if stage.name == "latent":
            frozen["moments"] = Moments(*2 * [jax.ShapeDtypeStruct((experiment.latent_dim,), jnp.float32)])
        new_state, metrics = jax.eval_shape(joined(parts_of(stage)), state, frozen, jax.random.key(0), batch)
        trained[stage.name] = state.params
        assert jax.tree.map(lambda a: (a.shape, a.dtype), new_state) == jax.tree.map(
            lambda a: (a.shape, a.dtype), state
        )
        assert metrics["loss"].shape == ()
