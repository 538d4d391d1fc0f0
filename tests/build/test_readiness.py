"""What is wrong with the data, the devices or the evaluation is found before training: nothing is written."""

import importlib.metadata

import jax
import numpy as np
import pytest

from benchmarks.faults.config_walk import TINY
from sde_vae.build.conditional import assumed_noise
from sde_vae.build.config import set_fields
from sde_vae.build.experiment import build
from sde_vae.build.fields import default_config
from sde_vae.build.readiness import require_ready
from sde_vae.commands.train import train
from sde_vae.data.dataset import Dataset, Split
from sde_vae.errors import BadInput
from sde_vae.files import write_json
from sde_vae.methods.method import abstract_params
from sde_vae.training.ema_files import write_ema
from sde_vae.training.workdir import EMA_FILE


def config_with(**changes):
    return set_fields(default_config(), TINY | {name.replace("__", "."): value for name, value in changes.items()})


def images(**sizes):
    return Dataset("mine", {name: Split(np.zeros((n, 8, 8, 1), np.uint8)) for name, n in sizes.items()})


@pytest.mark.parametrize(
    ("method", "noise", "assumed", "said"),
    [("dps", 0.0, 0.05, 1), ("dps", 0.0, 0.3, 0), ("dps", 0.4, 0.05, 0), ("dps", 0.0, 0.0, 0), ("pigdm", 0.0, 0.05, 0)],
)
def test_a_narrow_likelihood_of_dps_is_said(method, noise, assumed, said, one_device):
    of_task = {"task__noise": noise, "task__assumed_noise": assumed, "eval__evaluators": ("restoration",)}
    config = config_with(method=method, **of_task)
    notes = require_ready(config, build(config), images(train=100, test=100))
    assert sum("dps with an assumed noise" in note for note in notes) == said


@pytest.mark.parametrize(
    ("method", "noise", "assumed", "expected"),
    [
        ("dps", 0.0, 0.0, 0.3),
        ("pigdm", 0.0, 0.0, 0.05),
        ("dps", 0.4, 0.0, 0.4),
        ("dps", 0.0, 0.1, 0.1),
        ("pigdm", 0.1, 0.02, 0.1),
    ],
)
def test_the_assumed_noise_is_the_methods_own_if_not_given_and_at_least_that_of_y(method, noise, assumed, expected):
    assert assumed_noise(config_with(method=method, task__noise=noise, task__assumed_noise=assumed)) == expected


@pytest.mark.parametrize("stage", ["prior", "encoder", "correction", "latent"])
def test_a_batch_is_checked_in_every_stage_before_anything_is_written(stage, tmp_path, one_device):
    steps = {f"stages__{name}__steps": 1 for name in ("correction", "latent")}
    config = config_with(**steps, **{f"stages__{stage}__batch_size": 5000})
    with pytest.raises(BadInput, match=rf"config\.stages\.{stage}\.batch_size: got 5000, but digits has 1077 images"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_batch_that_the_devices_do_not_divide_is_refused_before_anything_is_written(tmp_path, use_devices):
    use_devices(4)
    with pytest.raises(BadInput, match=r"config\.stages\.encoder\.batch_size: got 6, which 4 devices do not divide"):
        train(config_with(stages__encoder__batch_size=6), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eval__extractor": "fid"}, r"config\.eval\.fid_weights: expected the file"),
        ({"eval__extractor": "fid", "eval__fid_weights": "nowhere.pth"}, "nowhere.pth: cannot be read"),
        ({"eval__lpips": "alex", "eval__lpips_dir": "nowhere"}, r"config\.eval\.lpips_dir: expected alex\.pth"),
        ({"eval__prior": "nowhere"}, r"config\.eval\.prior: nowhere does not exist"),
    ],
)
def test_a_file_of_the_evaluation_that_is_missing_is_refused_before_anything_is_written(changes, message, tmp_path):
    with pytest.raises(BadInput, match=message):
        train(config_with(stages__prior__batch_size=8, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("field", "value"), [("eval__lpips", "alex"), ("eval__extractor", "efflite0")])
def test_an_extra_of_the_evaluation_that_is_missing_is_refused_with_two_ways_out(field, value, monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    monkeypatch.setattr(importlib.metadata, "files", absent)
    config = config_with(**{field: value})
    with pytest.raises(BadInput, match=r"is not installed; run: pip install .*, or do without: config\.eval\."):
        require_ready(config, build(config), images(train=100, test=100))


def write_prior(workdir, config):
    """A run in which the prior of `config` is trained, with parameters that are all 0."""
    params = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), abstract_params(build(config).prior))
    write_json(workdir / "config.json", {"config": config.to_dict()})
    write_ema(workdir / "prior" / EMA_FILE, "prior", params, 1, None)


def test_a_prior_of_the_evaluation_that_does_not_fit_is_refused(tmp_path):
    write_prior(tmp_path, config_with())
    ready = lambda **changes: require_ready(
        (config := config_with(eval__prior=str(tmp_path), **changes)), build(config), images(train=100, test=100)
    )
    assert ready() == []
    for changes, message in (
        (
            {"sde__beta_max": 10.0},
            r"config\.eval\.prior: .* was trained with config\.sde\.beta_max 20\.0, expected 10\.0",
        ),
        ({"model__prior__channels": 8}, r"config\.eval\.prior: .*ema\.safetensors is of another network"),
        ({"method": "beta_vae"}, r"config\.eval\.prior: got .*, but beta-VAE has no prior; leave it out"),
    ):
        with pytest.raises(BadInput, match=message):
            ready(**changes)
    (tmp_path / "prior" / EMA_FILE).unlink()
    with pytest.raises(BadInput, match=r"config\.eval\.prior: expected checkpoints of the stage 'prior'"):
        ready()


def test_pixels_are_not_features_of_smaller_images():
    small = {"data__name": "folder", "data__dir": "somewhere", "eval__extractor": "pixels"}
    config = config_with(data__image_size="(16, 6)", **small)
    with pytest.raises(
        BadInput, match=r"config\.eval\.extractor: got pixels, which pools images to 8x8, and these are 16x6"
    ):
        require_ready(config, build(config), images(train=100, test=100))


def test_a_split_that_was_chosen_has_images_and_what_an_evaluator_asks_of_it():
    config = config_with(eval__split="valid")
    with pytest.raises(BadInput, match=r"config\.eval\.split: got 'valid', but mine has only train, test"):
        require_ready(config, build(config), images(train=100, test=100))
    fields = {"method": "prior", "labels__attribute": "digit", "labels__classes": 10, "eval__evaluators": "labels"}
    config = config_with(**fields)
    data = images(train=100, test=100)
    splits = data.splits | {"train": Split(data.splits["train"].images, np.zeros((100, 1), np.float32))}
    data = data._replace(splits=splits, attributes=("digit",))
    message = r"config\.eval\.evaluators: got labels, but the split test of mine has no attributes"
    with pytest.raises(BadInput, match=message):
        require_ready(config, build(config), data)


def test_attention_that_never_occurs_is_said_before_training():
    config = config_with(model__prior__attention=(16,))
    (note,) = require_ready(config, build(config), images(train=100, test=100))
    assert note.startswith("note: config.model.prior.attention: there is no attention at 16")


def test_few_images_and_short_stages_are_said():
    config = config_with(eval__extractor="pixels")
    ready = lambda data, config=config: require_ready(config, build(config), data)
    assert ready(images(train=100, test=4)) == []
    assert ready(images(train=100, test=3)) == [
        "note: the split test has 3 images: without 4, --mode eval leaves out distances of sets"
    ]
    assert ready(images(train=100, valid=9)) == [
        "note: mine has no images for config.eval.split=test: --mode eval will need another split, train or valid"
    ]
    assert ready(images(train=100, test=4), config_with(stages__encoder__warmup=2)) == [
        "note: encoder ends at step 1, before its learning rate has risen: config.stages.encoder.warmup is 2"
    ]
