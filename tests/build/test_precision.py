"""Where the config's precision goes: to the diffusion networks of every method, and not to its encoder, nor to what bounds are of."""

import jax
import jax.numpy as jnp
import pytest

from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.methods.method import abstract_params
from sde_vae.types import Batch
from tests.helpers.rarely import rarely
from tests.helpers.traced import products

NETS = ("prior", "encoder", "decoder", "correction", "shift")
TINY = {f"model.{net}.channels": 8 for net in NETS} | {f"model.{net}.multipliers": (1,) for net in NETS}
HIGHEST, DEFAULT = (jax.lax.Precision.HIGHEST,) * 2, (jax.lax.Precision.DEFAULT,) * 2
RESTORES = {"task.name": "inpainting", "eval.evaluators": ("restoration",)}
# name -> (fields, the precisions in the loss of the last stage): of an encoder beside diffusion networks, of these alone, of a VAE.
CASES = {
    "score_vae": ({}, {HIGHEST, DEFAULT}),
    "head": ({"stages.correction.steps": 1, "model.correction.body": "head"}, {HIGHEST, DEFAULT}),
    "bayes": ({"method": "bayes"} | RESTORES, {HIGHEST, DEFAULT}),
    "unet2d": ({"method": "prior", "model.prior.body": "unet2d", "eval.evaluators": ("samples",)}, {DEFAULT}),
    "beta_vae": ({"method": "beta_vae", "eval.evaluators": ("reconstruction",)}, {HIGHEST}),
    "correction": ({"stages.correction.steps": 1}, {HIGHEST, DEFAULT}),
    "pdae": ({"method": "pdae"}, {HIGHEST, DEFAULT}),
    "diff_decoder": ({"method": "diff_decoder"}, {HIGHEST, DEFAULT}),
    "cmde": ({"method": "cmde"} | RESTORES, {DEFAULT}),
}
RARE = ("correction", "diff_decoder", "cmde")


def precisions(method, experiment, name):
    params = {stage.name: abstract_params(stage.method) for stage in experiment.stages}
    batch = Batch(jnp.zeros((2, *experiment.shape)), jnp.arange(2), jnp.int32(0))
    loss = lambda params, frozen: method.loss(params, frozen, jax.random.key(0), batch)[0]
    return set(products(jax.make_jaxpr(loss)(params[name], params).jaxpr))


@pytest.mark.parametrize("name", [*(name for name in CASES if name not in RARE), *rarely(*RARE)])
def test_the_networks_have_the_precision_of_their_kind(name):
    changes, expected = CASES[name]
    config = load_config("cmde_digits" if RESTORES.items() <= changes.items() else "scorevae_digits")
    experiment = build(set_fields(config, TINY | {"model.precision": "default"} | changes))
    final = experiment.final
    assert precisions(final.method, experiment, final.name) == expected
    assert precisions(experiment.exact, experiment, final.name) == {HIGHEST}
