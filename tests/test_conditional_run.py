"""Conditional methods from the config to the report: every method and task is built and traced, and one of each kind runs."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sde_vae
from sde_vae.build.conditional import slower_sde
from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.build.fields import BY_BAYES, ESTIMATORS
from sde_vae.build.sdes import build_sde
from sde_vae.build.workdirs import trained_config
from sde_vae.cli import main
from sde_vae.diffusion.sdes import VP
from sde_vae.errors import BadInput
from sde_vae.files import write_json
from sde_vae.training.workdir import flatten, nested
from sde_vae.types import Batch
from tests.helpers.traced import trace_steps

SMALL = {
    **{f"model.{net}.channels": 8 for net in ("prior", "encoder", "decoder")},
    **{f"model.{net}.multipliers": (1,) for net in ("prior", "encoder", "decoder")},
    **{
        f"stages.{stage}.{field}": value
        for stage in ("prior", "encoder")
        for field, value in (("steps", 2), ("warmup", 0), ("batch_size", 8))
    },
    "stages.encoder.preview_every": 2,
    "stages.prior.preview_every": 2,
    "sampling.steps": 2,
    "eval.n": 6,
    "eval.samples": 8,
    "eval.batch_size": 8,
}
# Each method; and for one of them each way in which y differs from x: in size, in channels, and without an adjoint.
TRACED = [
    *((method, "inpainting") for method in (*ESTIMATORS, *BY_BAYES)),
    *(("cmde", task) for task in ("super_resolution", "colourisation", "edges")),
    ("bayes", "super_resolution"),
]


def config_of(method, task, **changes):
    colour = {"data.name": "avatars", "data.channels": 3, "data.image_size": 32, "task.factor": 8}
    return set_fields(load_config("cmde_digits"), SMALL | colour | {"method": method, "task.name": task} | changes)


# DPS and PiGDM differ in a variance, and CDiffE and VS-CMDE from CMDE in a speed.
@pytest.mark.parametrize(
    ("method", "task"),
    [pytest.param(*case, marks=pytest.mark.slow if case[0] in ("dps", "cdiffe", "vs_cmde") else ()) for case in TRACED],
)
def test_a_method_and_task_is_built_and_traced(method, task):
    experiment = build(config_of(method, task))
    trace_steps(experiment)
    method = experiment.final.method
    x = jax.ShapeDtypeStruct((3, *experiment.shape), np.float32)
    key = jax.random.key(0)

    def score(params, frozen, x):
        _, condition = experiment.measurement.observe(x, jax.random.split(key, 3))
        return method.score(params, frozen, condition)(x, jnp.full(3, 0.5))

    params = jax.eval_shape(method.init, key)
    frozen = {"prior": jax.eval_shape(experiment.prior.init, key)} if experiment.prior else {}
    assert jax.eval_shape(score, params, frozen, x).shape == x.shape


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of CMDE on inpainting, trained and evaluated by the commands."""
    run = tmp_path_factory.mktemp("conditional") / "run"
    fields = [f"--config.{name}={value}" for name, value in SMALL.items()]
    assert main(["--config", "cmde_digits", "--mode", "train", "--workdir", str(run), *fields]) == 0
    assert main(["--mode", "eval", "--workdir", str(run)]) == 0
    return run


def test_its_evaluation_has_the_metrics_and_the_picture(trained):
    metrics = json.loads((trained / "eval" / "metrics.json").read_text())
    names = ("psnr", "consistency", "diversity", "energy_score", "crps", "coverage", "fd_pixels", "joint_fd_pixels")
    assert all(np.isfinite(metrics[f"restoration/{name}"]) for name in names)
    assert metrics["restoration/draws"] == 8
    assert "latent_dim" not in metrics
    assert "restorations" in (trained / "eval" / "report.html").read_text().lower()
    assert (trained / "eval" / "restorations.png").exists()


def test_from_python_restorations_are_those_of_their_seed_and_place(trained):
    run = sde_vae.load(trained)
    x = run.images("test", 3)
    y = run.observe(x, seed=1)
    assert y.mask.shape == (3, 8, 8, 1)
    found = run.restore(y, n=2, seed=4)
    assert found.shape == (3, 2, 8, 8, 1)
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-3
    # One image alone, and more draws, change nothing; nor does the seed that the observation came with.
    alone = jax.tree.map(lambda a: a[:1], y)._replace(seed=np.array([99], np.uint32))
    np.testing.assert_allclose(run.restore(alone, n=3, seed=4)[0, :2], found[0], atol=1e-5)
    given = run.restore(np.clip((y.y + 1) / 2, 0, 1), n=2, mask=y.mask[..., 0], seed=4)
    np.testing.assert_allclose(given, found, atol=1e-5)
    assert run.sample(2, start=1).shape == (2, 8, 8, 1)
    np.testing.assert_allclose(run.sample(3, seed=2)[1:], run.sample(2, seed=2, start=1), atol=1e-5)


def test_what_does_not_fit_is_refused(trained):
    run = sde_vae.load(trained)
    y = np.zeros((2, 8, 8, 1))
    with pytest.raises(BadInput, match="mask: the task inpainting needs a mask"):
        run.restore(y)
    with pytest.raises(BadInput, match=r"mask: got an array of shape \(2, 4, 4\), expected \(2, 8, 8, 1\)"):
        run.restore(y, mask=np.ones((2, 4, 4)))
    with pytest.raises(BadInput, match="of 0 and 1"):
        run.restore(y, mask=np.full((2, 8, 8), 0.5))
    with pytest.raises(BadInput, match="latent codes"):
        run.encode(y)
    with pytest.raises(BadInput, match="observes nothing"):
        sde_vae.load("digits").restore(y)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task.name": "super_resolution", "task.factor": 5}, "config.task.factor: got 5, expected a divisor"),
        ({"task.name": "colourisation"}, "config.task.name: got colourisation, expected images with 3 channels"),
        ({"method": "dps", "task.name": "edges"}, "config.task.name: got edges, expected a linear task for dps"),
        ({"sde.name": "cosine_vp"}, "config.sde.name: got cosine_vp, expected ve, vp, sub_vp"),
        ({"y_sde.beta_max": 30.0}, "config.y_sde.beta_max: got 30.0, expected at most config.sde.beta_max, 20.0"),
        ({"y_sde.beta_min": 1.0}, "config.y_sde.beta_min: got 1.0, expected at most config.sde.beta_min, 0.1"),
        (
            {"eval.evaluators": ("reconstruction",)},
            "config.eval.evaluators: got reconstruction, but CMDE has no latent codes",
        ),
        ({"eval.evaluators": ("bits_per_dim",)}, "has neither latent codes nor an unconditional prior"),
        ({"method": "score_vae", "eval.evaluators": ("restoration",)}, "ScoreVAE observes nothing of an image"),
    ],
)
def test_configs_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(BadInput, match=re.escape(message)):
        build(set_fields(load_config("cmde_digits"), changes))


def test_with_the_speed_of_x_cmde_is_cdiffe():
    """The same loss, bit for bit."""
    losses = []
    for changes in ({"method": "cdiffe"}, {"method": "cmde", "y_sde.beta_min": 0.1, "y_sde.beta_max": 20.0}):
        stage = build(set_fields(load_config("cmde_digits"), SMALL | changes)).final
        params = stage.method.init(jax.random.key(0))
        batch = Batch(np.zeros((8, 8, 8, 1), np.float32), np.arange(8, dtype=np.int32))
        losses.append(jax.jit(stage.method.loss)(params, {}, jax.random.key(1), batch)[0])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", ["vp", "sub_vp"])
def test_by_default_y_is_a_hundred_times_slower_at_all_times(x64, name):
    """The integral of its rate, -2 log alpha, is a hundredth of that of x. So where both are small its noise in VP is a tenth."""
    config = set_fields(load_config("cmde_digits"), {"sde.name": name})
    sde = build_sde(config.sde)
    of_y, t = slower_sde(config, sde), jnp.linspace(1e-3, 1.0, 9)
    np.testing.assert_allclose(100 * jnp.log(of_y.alpha(t)), jnp.log(sde.alpha(t)), rtol=1e-9)
    if name == "vp":
        np.testing.assert_allclose((of_y.sigma(t) / sde.sigma(t))[0], 0.1, rtol=1e-4)


def test_a_run_of_before_has_the_smallest_rate_of_x_for_y(tmp_path):
    """Its config has no y_sde.beta_min. That of today's default would be another SDE than it was trained with."""
    flat = flatten(set_fields(load_config("cmde_digits"), {"sde.beta_min": 0.2, "y_sde.beta_max": 5.0}).to_dict())
    del flat["y_sde.beta_min"]
    write_json(tmp_path / "config.json", {"config": nested(flat)})
    config = trained_config(tmp_path)
    assert slower_sde(config, build_sde(config.sde)) == VP(beta_min=0.2, beta_max=5.0)


def test_in_ve_y_has_the_same_smallest_noise():
    config = set_fields(load_config("cmde_digits"), {"sde.name": "ve", "y_sde.sigma_max": 2.0})
    sde = build_sde(config.sde)
    assert slower_sde(config, sde) == dataclasses.replace(sde, sigma_max=2.0)


@pytest.mark.slow
def test_on_a_prior_it_restores_without_training(tmp_path, trained):
    """PiGDM stands on a prior alone: the run of another method's prior serves it, and there is nothing to train."""
    prior, run = tmp_path / "prior", tmp_path / "pigdm"
    fields = [f"--config.{name}={value}" for name, value in SMALL.items()]
    assert main(["--config", "prior_digits", "--mode", "train", "--workdir", str(prior), *fields]) == 0
    on_it = ["--config.method=pigdm", f"--config.prior.checkpoint={prior}", *fields]
    assert main(["--config", "cmde_digits", "--mode", "eval", "--workdir", str(run), *on_it]) == 0
    assert np.isfinite(json.loads((run / "eval" / "metrics.json").read_text())["restoration/psnr"])
