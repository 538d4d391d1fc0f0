"""The configs of arXiv:2111.13606 have the fields of its authors' files, build, and trace at their own sizes."""

import jax
import jax.numpy as jnp
import pytest

from sde_vae.build.config import load_config, set_fields
from sde_vae.build.data import example_shape
from sde_vae.build.experiment import build
from sde_vae.build.unread import absent_attention
from sde_vae.training.workdir import flatten
from sde_vae.types import Batch

ALL = {
    "seed": 42,
    "method": "cmde",
    "data.channels": 3,
    "sde.name": "ve",
    "sde.sigma_min": 5e-3,
    "model.prediction": "noise",
    "model.decoder.blocks": 2,
    "model.decoder.dropout": 0.1,
    "optim.ema_decay": 0.999,
    "optim.clip": 1.0,
    "optim.decay": "constant",
    "stages.encoder.weight": "likelihood",
    "stages.encoder.times": "uniform_t",
    "stages.encoder.steps": 500_000,
    "stages.encoder.learning_rate": 2e-4,
    "stages.encoder.warmup": 2500,
    "sampling.solver": "predictor_corrector",
    "sampling.steps": 1000,
    "sampling.corrector_steps": 1,
    "sampling.snr": 0.15,
    "eval.evaluators": ("restoration",),
}
OWN = {
    "cmde_celeba128_inpainting": {
        "task.name": "inpainting",
        "task.share": 0.25,
        "data.image_size": 128,
        "y_sde.sigma_max": 1.0,
        "model.decoder.channels": 96,
        "model.decoder.multipliers": (1, 1, 2, 2, 3, 3),
        "model.decoder.attention": (16, 8, 4),
        "stages.encoder.batch_size": 100,
    },
    "cmde_celeba160_super_resolution": {
        "task.name": "super_resolution",
        "task.factor": 8,
        "data.image_size": 160,
        "y_sde.sigma_max": 0.5,
        "model.decoder.channels": 96,
        "model.decoder.multipliers": (1, 1, 2, 2, 3, 3),
        "model.decoder.attention": (20, 10, 5),
        "stages.encoder.batch_size": 16,
    },
    "cmde_edges2shoes": {
        "task.name": "pairs",
        "task.swap": False,
        "data.name": "pairs",
        "data.image_size": 64,
        "y_sde.sigma_max": 1.0,
        "model.decoder.channels": 128,
        "model.decoder.multipliers": (1, 1, 2, 2),
        "model.decoder.attention": (16, 8),
        "stages.encoder.batch_size": 50,
    },
}


@pytest.mark.parametrize("name", OWN)
def test_the_fields_are_the_authors(name):
    config = flatten(load_config(name).to_dict())
    expected = ALL | OWN[name]
    assert {field: config[field] for field in expected} == expected
    # x's noise at t = T is the square root of the number of its dimensions.
    assert config["sde.sigma_max"] ** 2 == pytest.approx(3 * config["data.image_size"] ** 2)


@pytest.mark.parametrize("name", OWN)
def test_it_builds_and_its_loss_traces(name):
    """With one block at each resolution, and without the gradient: the whole step takes ten times as long, and others trace it in small."""
    config = load_config(name)
    assert absent_attention(config) == []
    assert [stage.name for stage in build(config).stages] == ["encoder"]
    experiment = build(set_fields(config, {"model.decoder.blocks": 1}))
    stage = experiment.final
    assert experiment.shape == (config.data.image_size, config.data.image_size, 3)
    params = jax.eval_shape(stage.method.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((stage.batch_size, *example_shape(config)), jnp.float32)
    batch = Batch(x, jax.ShapeDtypeStruct((stage.batch_size,), jnp.int32))
    loss, metrics = jax.eval_shape(stage.method.loss, params, {}, jax.random.key(0), batch)
    assert loss.shape == ()
    assert set(metrics) == {"loss", "loss/x", "loss/y"}
