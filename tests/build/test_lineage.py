"""A stage is trained further, evaluated and released on the parameters that it was trained on, or not at all."""

import numpy as np
import pytest

from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.build.lineage import notes_on, outdated, record_of, require_same, set_aside
from sde_vae.errors import BadInput
from sde_vae.files import write_json
from sde_vae.training.checkpoints import Trained
from sde_vae.training.description import Description, as_meta

CONFIG = set_fields(load_config("scorevae_digits"), {"stages.prior.steps": 4, "stages.encoder.steps": 4})


def trained(step=4, value=1.0):
    return Trained({"w": np.full(3, value, np.float32)}, step, None)


def checkpoint(workdir, stage, step, record):
    meta = as_meta(Description(stage, step, {}, None, record))
    write_json(workdir / stage / "checkpoints" / str(step) / "meta" / "metadata", meta)


def run_with(workdir, encoder=True, **before):
    """A workdir with a prior of 4 steps and an encoder that stands on it."""
    prior, encoder_stage = build(CONFIG).stages
    checkpoint(workdir, "prior", 4, record_of(CONFIG, prior, {}))
    if encoder:
        checkpoint(workdir, "encoder", 4, record_of(CONFIG, encoder_stage, before or {"prior": trained()}))


def check(workdir, **changes):
    config = set_fields(CONFIG, {name.replace("__", "."): value for name, value in changes.items()})
    return outdated(config, build(config), workdir)


@pytest.fixture
def prior_of(monkeypatch):
    """prior_of(x): the prior in the workdir is x."""
    return lambda found: monkeypatch.setattr("sde_vae.build.lineage.load_stage", lambda *_: found)


@pytest.mark.parametrize("other", [trained(5), trained(4, 1.0000001), trained(5, 2.0)])
def test_other_parameters_are_refused_whatever_their_step(other):
    record = record_of(CONFIG, build(CONFIG).stages[1], {"prior": trained()})
    require_same(record, {"prior": trained()}, "the encoder")
    if np.array_equal(other.params["w"], trained().params["w"]):
        require_same(record, {"prior": other}, "the encoder")
        return
    with pytest.raises(
        BadInput, match=r"--workdir: the encoder was trained on the prior at step 4, .*retrain=True"
    ) as error:
        require_same(record, {"prior": other}, "the encoder")
    assert "\n" not in str(error.value)


def test_nothing_is_said_of_a_run_that_is_whole(tmp_path, prior_of):
    run_with(tmp_path)
    prior_of(trained())
    assert check(tmp_path) == []
    assert check(tmp_path, stages__encoder__steps=9) == []


def test_more_steps_of_the_prior_are_refused_before_it_trains_or_the_encoder_is_trained_again(tmp_path, prior_of):
    run_with(tmp_path)
    prior_of(trained())
    with pytest.raises(
        BadInput, match=r"encoder: it was trained on the prior at step 4, which is to go on to step 9; train it again"
    ):
        check(tmp_path, stages__prior__steps=9)
    assert check(tmp_path, stages__prior__steps=9, retrain=True) == ["encoder"]
    assert len(set_aside(tmp_path, ["encoder"])) == 1
    assert (tmp_path / "encoder.before" / "checkpoints" / "4").is_dir()
    assert check(tmp_path, stages__prior__steps=9) == []


def test_another_prior_of_the_same_step_is_refused(tmp_path, prior_of):
    run_with(tmp_path)
    prior_of(trained(value=2.0))
    with pytest.raises(BadInput, match="it was trained on another prior, of step 4"):
        check(tmp_path)
    assert check(tmp_path, retrain=True) == ["encoder"]


def test_a_prior_whose_last_checkpoint_is_lost_is_trained_again_to_the_same(tmp_path, prior_of):
    run_with(tmp_path)
    (tmp_path / "prior" / "checkpoints" / "4").rename(tmp_path / "prior" / "checkpoints" / "4.damaged")
    checkpoint(tmp_path, "prior", 2, {})
    prior_of(trained(step=2, value=0.5))
    assert check(tmp_path) == []


def test_a_checkpoint_without_a_record_is_used_and_that_is_said(tmp_path, prior_of):
    run_with(tmp_path, encoder=False)
    checkpoint(tmp_path, "encoder", 4, None)
    prior_of(trained())
    assert check(tmp_path) == []
    (note,) = notes_on(CONFIG, build(CONFIG), tmp_path)
    assert "of an earlier version, without a record" in note
    with pytest.raises(BadInput, match="step 4 or before"):
        check(tmp_path, stages__prior__steps=9)


def test_more_steps_under_a_decay_are_said(tmp_path):
    run_with(tmp_path, encoder=False)
    longer = set_fields(CONFIG, {"stages.prior.steps": 9, "optim.decay": "cosine"})
    (note,) = notes_on(longer, build(longer), tmp_path)
    assert "prior was to end at step 4, and goes on to 9: config.optim.decay=cosine falls over all steps" in note
    assert notes_on(set_fields(longer, {"optim.decay": "constant"}), build(longer), tmp_path) == []
