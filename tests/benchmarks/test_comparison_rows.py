"""The comparison's rows: every one of every table builds, and they share all but what they say."""

import functools

import numpy as np
import pytest

from benchmarks.arguments import overrides
from benchmarks.comparison import training
from benchmarks.comparison.plan import TABLES
from benchmarks.comparison.settings import base_config
from sde_vae.build.config import set_fields
from sde_vae.build.experiment import build
from sde_vae.diffusion.sdes import VP, log_snr_range
from sde_vae.errors import BadInput
from sde_vae.training import workdir
from tests.helpers.compared import of_table


@pytest.fixture(scope="module")
def plain():
    return base_config("digits", "small", {}, 4, 0)


@functools.cache
def experiments(table):
    """(row, what it builds) for every row of a table."""
    config = base_config("digits", "small", {}, 4, 0)
    return [(row, build(with_prior(config, row))) for row in TABLES[table].rows(config)]


def with_prior(config, row):
    return set_fields(config, row.changes | {"prior.checkpoint": "somewhere"})


@pytest.mark.parametrize("table", TABLES)
def test_every_row_builds_and_names_stages_that_it_trains(table):
    found = experiments(table)
    assert len({row.name for row, _ in found}) == len({row.title for row, _ in found}) == len(found)
    for row, experiment in found:
        assert set(row.stages) <= {stage.name for stage in experiment.stages}
        assert ("correction" in row.stages) == ("correction" in {stage.name for stage in experiment.stages})


@pytest.mark.parametrize("table", TABLES)
def test_rows_of_one_folder_train_the_same(table, plain):
    """Else the second of them would find the first one's workdir, and be refused."""
    folders = {}
    for row in TABLES[table].rows(plain):
        flat = workdir.flatten(set_fields(plain, row.changes).to_dict())
        trained = {name: value for name, value in flat.items() if not name.startswith(workdir.FREE)}
        assert folders.setdefault(row.folder or row.name, trained) == trained


@pytest.mark.parametrize("table", TABLES)
def test_rows_with_a_prior_are_those_that_depend_on_one(table):
    for row, experiment in experiments(table):
        needs = any("prior" in stage.depends_on or stage.synthetic for stage in experiment.stages)
        assert row.has_prior == needs


@pytest.mark.parametrize("table", ["compare", "bounds", "curves"])
def test_scorevae_without_a_further_word_has_the_papers_encoder(table):
    """Whatever the lifted one has."""
    asked = {"model.encoder.input": "filtered", "model.encoder.num_statistics": 64}
    config = base_config("digits", "small", asked, 4, 0)
    encoders = {row.name: set_fields(config, row.changes).model.encoder for row in TABLES[table].rows(config)}
    papers = [encoder for name, encoder in encoders.items() if name.startswith("score_vae")]
    lifted = [encoder for name, encoder in encoders.items() if name.startswith("lifted")]
    assert {(e.input, e.num_statistics) for e in papers} == {("x_t", 0)}
    assert {(e.input, e.num_statistics) for e in lifted} == {("filtered", 64)}


def test_a_lever_that_the_config_has_already_is_no_row():
    names = lambda changes: {row.name for row in TABLES["levers"].rows(base_config("digits", "small", changes, 4, 0))}
    everywhere, filtered = names({}), names({"model.encoder.input": "filtered"})
    assert {"input_filtered", "filtered_lifted", "lifted"} <= everywhere
    assert not {"input_filtered", "filtered_lifted"} & filtered
    assert {"lifted", "velocity_lifted"} <= filtered


def test_a_weights_beta_is_scaled_by_its_loss_on_white_data(plain):
    """For data ~ N(0, 1) the best score is exact, and its loss is closed-form: the mean of weight times sigmoid(logSNR)."""
    betas = {row.name: row.changes["loss.beta"] for row in TABLES["levers"].rows(plain)}
    levels = np.linspace(*map(float, log_snr_range(VP())), 4001)
    mass = lambda w: np.mean(w(levels) / (1 + np.exp(-levels)))
    sigmoid = mass(lambda l: 1 / (1 + np.exp(l - 2.0)))
    velocity = mass(lambda l: (1 + np.exp(-l)) / (1 + np.exp(l - 2.0)))
    assert betas["weight_velocity"] / betas["as_configured"] == pytest.approx(velocity / sigmoid, rel=1e-3)


def test_a_swapped_row_decodes_with_the_next_seeds_prior(tmp_path):
    comparison = of_table("compare", tmp_path)
    swapped, lifted = (comparison.rows[name] for name in ("swapped", "lifted"))
    priors = lambda row: (lambda c: (c.prior.checkpoint, c.eval.prior))(comparison.config_of(row, 4, 0))
    trained_with, other = (str(comparison.prior_of(lifted, seed)) for seed in (0, 1))
    assert priors(swapped) == (trained_with, other)
    assert priors(lifted) == (trained_with, "")
    # Nothing else differs.
    assert swapped.changes == lifted.changes
    assert comparison.folder(swapped, 4, 0) == comparison.folder(lifted, 4, 0)


def test_a_row_may_have_a_prior_of_its_own(tmp_path, monkeypatch):
    from benchmarks.comparison import run

    comparison = of_table("levers", tmp_path)
    own, shared = (comparison.rows[f"filtered_velocity_lifted{name}"] for name in ("_prior_velocity", ""))
    assert comparison.prior_of(own, 0) != comparison.prior_of(shared, 0)
    for row in (own, shared):
        assert comparison.config_of(row, 4, 0).prior.checkpoint == str(comparison.prior_of(row, 0))
    asked = []
    train = lambda config, folder, only="": asked.append((config.stages.prior.weight, folder, only))
    monkeypatch.setattr(training, "train", train)
    # Stopped at its prior, as that is not trained.
    assert run.run(comparison, (own, 4, 0)) is run.run(comparison, (shared, 4, 0)) is None
    expected = [("velocity", comparison.prior_of(own, 0), "prior"), ("simple", comparison.prior_of(shared, 0), "prior")]
    assert asked == expected


def test_rivals_and_uncorrected_rows(tmp_path):
    methods = of_table("compare", tmp_path).load().methods
    rivals = {name: facts["rival"] for name, facts in methods.items() if "rival" in facts}
    synthetic = "beta_vae_0.01_synthetic"
    assert rivals == {
        **dict.fromkeys(
            ("score_vae", "score_vae_plus", "score_vae_plus_head", "lifted", "lifted_plus"), "beta_vae_0.01"
        ),
        **dict.fromkeys(("lifted_latent", "swapped", "diffuse_vae", "diff_decoder_0.01", "pdae_0.01"), "beta_vae_0.01"),
        **dict.fromkeys(("lifted_synthetic", "diff_decoder_0.01_synthetic"), synthetic),
        **dict.fromkeys(("beta_vae_learnt", "score_vae_bound"), "beta_vae_1"),
    }
    assert {name: facts["uncorrected"] for name, facts in methods.items() if "uncorrected" in facts} == {
        "score_vae_plus": "score_vae",
        "score_vae_plus_head": "score_vae",
        "lifted_plus": "lifted",
    }


def test_a_latent_that_is_a_point_has_no_kl_and_no_bound(plain):
    assert {row.name for row in TABLES["compare"].rows(plain) if row.hidden} == {"diff_decoder_0", "pdae"}


def test_pdaes_rows_are_the_papers_and_one_of_the_tables_beta_and_weight(plain):
    rows = {row.name: set_fields(plain, row.changes) for row in TABLES["compare"].rows(plain)}
    of = lambda c: (c.loss.beta, c.stages.encoder.weight, c.model.shift.body, c.model.shift.output)
    assert of(rows["pdae"]) == (0.0, "pdae", "up_path", "score")
    assert of(rows["pdae_0.01"]) == (0.01, plain.stages.encoder.weight, "up_path", "velocity")


def test_bad_input_is_refused_by_name():
    assert overrides(["--config.loss.beta=0.5", "--config.data.dir=a=b"]) == {"loss.beta": 0.5, "data.dir": "a=b"}
    with pytest.raises(BadInput, match=r"--loss\.beta=1.*expected --config"):
        overrides(["--loss.beta=1"])
    with pytest.raises(BadInput, match=r"--data: got 'nothing'"):
        base_config("nothing", "small", {}, None, 0)
    with pytest.raises(BadInput, match=r"--config\.seed: the comparison sets this itself"):
        base_config("digits", "small", {"seed": 1}, None, 0)
    with pytest.raises(BadInput, match=r"config\.loss\.alpha: there is no such field"):
        base_config("digits", "small", {"loss.alpha": 1}, None, 0)
