"""The comparison: every row of every table builds, rows share all but what they say, and figures are what they are called."""

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from sde_vae import workdir
from sde_vae.build import build
from sde_vae.errors import BadInput
from sde_vae.sdes import VP, log_snr_range


@pytest.fixture(scope="module")
def modules():
    folder = str(Path(__file__).parent.parent / "benchmarks")
    sys.path.insert(0, folder)
    try:
        yield [importlib.import_module(name) for name in ("compare_config", "compare_page", "compare")]
    finally:
        sys.path.remove(folder)


TABLES = ("compare", "levers", "bounds", "curves")


@pytest.mark.parametrize("table", TABLES)
def test_every_row_builds_and_names_stages_that_it_trains(modules, table):
    compare_config, _, compare = modules
    plain = compare_config.base_config("digits", "small", {}, 4, 0)
    found = compare.TABLES[table].rows(plain)
    assert len({row.name for row in found}) == len({row.title for row in found}) == len(found)
    for row in found:
        experiment = build(compare_config.with_changes(plain, row.changes))
        assert set(row.stages) <= {stage.name for stage in experiment.stages}


@pytest.mark.parametrize("table", TABLES)
def test_rows_of_one_folder_have_trained_the_same(modules, table):
    """Else the second of them would find the first one's workdir, and be refused."""
    compare_config, _, compare = modules
    plain = compare_config.base_config("digits", "small", {}, 4, 0)
    folders = {}
    for row in compare.TABLES[table].rows(plain):
        told = workdir.flatten(compare_config.with_changes(plain, row.changes).to_dict())
        trained = {name: value for name, value in told.items() if not name.startswith(workdir.FREE)} | {"": row.prior}
        assert folders.setdefault(row.folder, trained) == trained


def test_a_lever_that_the_config_has_already_is_no_row(modules):
    compare_config, _, compare = modules
    names = lambda changes: {
        row.name for row in compare.TABLES["levers"].rows(compare_config.base_config("digits", "small", changes, 4, 0))
    }
    everywhere, filtered = names({}), names({"model.encoder.sees": "filtered"})
    assert {"sees_filtered", "filtered_lifted", "lifted"} <= everywhere
    assert not {"sees_filtered", "filtered_lifted"} & filtered
    assert {"lifted", "velocity_lifted"} <= filtered


def test_what_has_no_prior_does_not_ask_how_one_was_trained(modules):
    """Another prior's table can keep its rows."""
    compare_config, _, compare = modules

    def configs(changes):
        plain = compare_config.base_config("digits", "small", changes, 4, 0)
        return {r.name: compare_config.with_changes(plain, r.changes) for r in compare.TABLES["compare"].rows(plain)}

    simple, other = configs({}), configs({"prior.weight": "simple_velocity", "prior.times": "uniform_log_snr"})
    same = {name for name in simple if simple[name].to_dict() == other[name].to_dict()}
    assert same == {name for name in simple if name.startswith(("beta_vae", "diff_decoder"))}


def test_a_weights_beta_is_scaled_by_its_loss_on_white_data(modules):
    """Of data that is N(0, 1) the best score is exact, and its loss is closed-form: the mean of weight times sigmoid(logSNR)."""
    compare_config, _, compare = modules
    plain = compare_config.base_config("digits", "small", {}, 4, 0)
    betas = {row.name: row.changes["loss.beta"] for row in compare.TABLES["levers"].rows(plain)}
    levels = np.linspace(*map(float, log_snr_range(VP())), 4001)
    mass = lambda w: np.mean(w(levels) / (1 + np.exp(-levels)))
    sigmoid = mass(lambda l: 1 / (1 + np.exp(l - 2.0)))
    velocity = mass(lambda l: (1 + np.exp(-l)) / (1 + np.exp(l - 2.0)))
    assert betas["weight_velocity"] / betas["as_configured"] == pytest.approx(velocity / sigmoid, rel=1e-3)


def test_a_swapped_row_decodes_with_the_next_seeds_prior(modules, tmp_path):
    _, _, compare = modules
    options = argparse.Namespace(
        data="digits", budget="small", table="compare", rows=None, latents=[4], workdir=tmp_path
    )
    comparison = compare.Comparison(options, {})
    priors = lambda name: (lambda c: (c.prior.checkpoint, c.eval.prior))(
        comparison.config_of(comparison.rows[name], 4, 0)
    )
    trained_with, other = (str(comparison.prior_of(seed)) for seed in (0, 1))
    assert priors("swapped") == (trained_with, other)
    assert priors("lifted") == (trained_with, "")
    # And nothing else is another's.
    assert comparison.rows["swapped"].changes == comparison.rows["lifted"].changes


def test_a_row_may_have_a_prior_of_its_own(modules, tmp_path):
    _, _, compare = modules
    options = argparse.Namespace(
        data="digits", budget="small", table="levers", rows=None, latents=[4], workdir=tmp_path
    )
    comparison = compare.Comparison(options, {})
    own, shared = (
        comparison.config_of(comparison.rows[name], 4, 0) for name in ("all_three_prior_velocity", "all_three")
    )
    assert (own.prior.weight, shared.prior.weight) == ("velocity", "simple")
    assert len({own.prior.checkpoint, shared.prior.checkpoint}) == 2
    assert {own.prior.checkpoint, shared.prior.checkpoint} == {str(comparison.prior_of(0, w)) for w in ("velocity", "")}


def test_over_seeds(modules):
    _, page, _ = modules
    runs = [{"a": 1.0, "a_stderr": 9.0}, {"a": 3.0}, {"a": float("nan")}, {}]
    mean, error = page.over_seeds(runs, "a")
    assert (mean, error) == (2.0, pytest.approx(np.std([1, 3], ddof=1) / np.sqrt(2)))
    assert page.over_seeds(runs[:1], "a") == (1.0, 9.0)
    assert page.over_seeds(runs[3:], "a") == (None, None)


def test_the_limit_of_many_decodings(modules):
    """Of an image known up to noise: decodings err by b in common and by v each, and infinitely many by b alone."""
    _, page, _ = modules
    rng, k, b, v = np.random.default_rng(0), 8, 0.3, 2.0
    common = np.sqrt(b) * rng.standard_normal(100_000)
    one, many = (
        common + np.sqrt(v) * rng.standard_normal(100_000),
        common + np.sqrt(v / k) * rng.standard_normal(100_000),
    )
    found = page.limit({"average/decodings": k, "average/mse": np.mean(many**2), "reconstruction/mse": np.mean(one**2)})
    assert found == pytest.approx(b, abs=0.02)


def test_bad_input_is_refused_by_name(modules):
    compare_config, _, compare = modules
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


def test_training_seconds_leave_out_what_was_not_training(modules, tmp_path):
    _, _, compare = modules
    lines = [{"step": 10}, {"step": 20, "steps_per_second": 4.0}, {"step": 40, "steps_per_second": 5.0}]
    lines += [{"step": 60, "steps_per_second": 0.1}]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{line}\n".replace("'", '"') for line in lines))
    assert compare.training_seconds(tmp_path) == 60 / 4.0
