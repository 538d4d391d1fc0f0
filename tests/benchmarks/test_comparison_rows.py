"""The comparison's rows: every one of every table builds, and they share all but what they say."""

import compare
import compare_config
import numpy as np
import pytest
from sde_vae.sdes import VP, log_snr_range

from sde_vae import workdir
from sde_vae.build import build
from sde_vae.errors import BadInput
from tests.compared import of_table

TABLES = ("compare", "levers", "bounds", "curves")


@pytest.mark.parametrize("table", TABLES)
def test_every_row_builds_and_names_stages_that_it_trains(table):
    plain = compare_config.base_config("digits", "small", {}, 4, 0)
    found = compare.TABLES[table].rows(plain)
    assert len({row.name for row in found}) == len({row.title for row in found}) == len(found)
    for row in found:
        experiment = build(compare_config.with_changes(plain, row.changes | {"prior.checkpoint": "somewhere"}))
        assert set(row.stages) <= {stage.name for stage in experiment.stages}


@pytest.mark.parametrize("table", TABLES)
def test_rows_of_one_folder_have_trained_the_same(table):
    """Else the second of them would find the first one's workdir, and be refused."""
    plain = compare_config.base_config("digits", "small", {}, 4, 0)
    folders = {}
    for row in compare.TABLES[table].rows(plain):
        told = workdir.flatten(compare_config.with_changes(plain, row.changes).to_dict())
        trained = {name: value for name, value in told.items() if not name.startswith(workdir.FREE)}
        assert folders.setdefault(row.folder, trained) == trained


def test_rows_that_stand_on_a_prior_are_those_that_have_one():
    plain = compare_config.base_config("digits", "small", {}, 4, 0)
    for table in compare.TABLES.values():
        for row in table.rows(plain):
            changes = row.changes | {"prior.checkpoint": "somewhere"}
            experiment = build(compare_config.with_changes(plain, changes))
            assert row.has_prior == bool(experiment.prior or experiment.drawn_from)


@pytest.mark.parametrize("table", ["compare", "bounds", "curves"])
def test_scorevae_without_a_further_word_has_the_papers_encoder(table):
    """Whatever is asked of the lifted one."""
    asked = {"model.encoder.sees": "filtered", "model.encoder.statistics": 64}
    plain = compare_config.base_config("digits", "small", asked, 4, 0)
    encoders = {
        row.name: compare_config.with_changes(plain, row.changes).model.encoder
        for row in compare.TABLES[table].rows(plain)
    }
    papers = [encoder for name, encoder in encoders.items() if name.startswith("score_vae")]
    lifted = [encoder for name, encoder in encoders.items() if name.startswith("lifted")]
    assert {(e.sees, e.statistics) for e in papers} == {("x_t", 0)}
    assert {(e.sees, e.statistics) for e in lifted} == {("filtered", 64)}


def test_a_lever_that_the_config_has_already_is_no_row():
    names = lambda changes: {
        row.name for row in compare.TABLES["levers"].rows(compare_config.base_config("digits", "small", changes, 4, 0))
    }
    everywhere, filtered = names({}), names({"model.encoder.sees": "filtered"})
    assert {"sees_filtered", "filtered_lifted", "lifted"} <= everywhere
    assert not {"sees_filtered", "filtered_lifted"} & filtered
    assert {"lifted", "velocity_lifted"} <= filtered


def test_a_weights_beta_is_scaled_by_its_loss_on_white_data():
    """Of data that is N(0, 1) the best score is exact, and its loss is closed-form: the mean of weight times sigmoid(logSNR)."""
    plain = compare_config.base_config("digits", "small", {}, 4, 0)
    betas = {row.name: row.changes["loss.beta"] for row in compare.TABLES["levers"].rows(plain)}
    levels = np.linspace(*map(float, log_snr_range(VP())), 4001)
    mass = lambda w: np.mean(w(levels) / (1 + np.exp(-levels)))
    sigmoid = mass(lambda l: 1 / (1 + np.exp(l - 2.0)))
    velocity = mass(lambda l: (1 + np.exp(-l)) / (1 + np.exp(l - 2.0)))
    assert betas["weight_velocity"] / betas["as_configured"] == pytest.approx(velocity / sigmoid, rel=1e-3)


def test_a_swapped_row_decodes_with_the_next_seeds_prior(tmp_path):
    comparison = of_table("compare", tmp_path)
    priors = lambda name: (lambda c: (c.prior.checkpoint, c.eval.prior))(
        comparison.config_of(comparison.rows[name], 4, 0)
    )
    trained_with, other = (str(comparison.prior_of(seed)) for seed in (0, 1))
    assert priors("swapped") == (trained_with, other)
    assert priors("lifted") == (trained_with, "")
    # And nothing else is another's.
    assert comparison.rows["swapped"].changes == comparison.rows["lifted"].changes


def test_a_row_may_have_a_prior_of_its_own(tmp_path, monkeypatch):
    comparison = of_table("levers", tmp_path)
    own, shared = comparison.rows["all_three_prior_velocity"], comparison.rows["all_three"]
    assert comparison.config_of(own, 4, 0).prior.checkpoint == str(comparison.prior_of(0, own))
    assert comparison.config_of(shared, 4, 0).prior.checkpoint == str(comparison.prior_of(0))
    assert comparison.prior_of(0, own) != comparison.prior_of(0) == comparison.prior_of(0, shared)
    asked = []
    train = lambda config, experiment, folder: asked.append((config.prior.weight, folder, len(experiment.stages)))
    monkeypatch.setattr(compare.commands, "train", train)
    comparison.train_prior(0, own)
    comparison.train_prior(0)
    assert asked == [("velocity", comparison.prior_of(0, own), 1), ("simple", comparison.prior_of(0), 1)]


def test_bad_input_is_refused_by_name():
    assert compare.overrides(["--config.loss.beta=0.5", "--config.data.dir=a=b"]) == {
        "loss.beta": 0.5,
        "data.dir": "a=b",
    }
    with pytest.raises(BadInput, match=r"--loss\.beta=1.*expected --config"):
        compare.overrides(["--loss.beta=1"])
    with pytest.raises(BadInput, match=r"--data: got 'nothing'"):
        compare_config.base_config("nothing", "small", {}, None, 0)
    with pytest.raises(BadInput, match=r"--config\.seed: the comparison decides"):
        compare_config.base_config("digits", "small", {"seed": 1}, None, 0)
    with pytest.raises(BadInput, match=r"configs/default\.py has all fields"):
        compare_config.base_config("digits", "small", {"loss.alpha": 1}, None, 0)
