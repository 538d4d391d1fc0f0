"""The comparison: every row of every table builds, rows share all but what they say, and figures are what they are called."""

import argparse
import importlib
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from sde_vae import logs, workdir
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


MADE = {"prior": "", "machine": "one", "versions": {"jax": "1"}}
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
        trained = {name: value for name, value in told.items() if not name.startswith(workdir.FREE)}
        assert folders.setdefault(row.folder, trained) == trained


@pytest.mark.parametrize("table", ["compare", "bounds", "curves"])
def test_scorevae_without_a_further_word_has_the_papers_encoder(modules, table):
    """Whatever is asked of the lifted one."""
    compare_config, _, compare = modules
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


def test_a_lever_that_the_config_has_already_is_no_row(modules):
    compare_config, _, compare = modules
    names = lambda changes: {
        row.name for row in compare.TABLES["levers"].rows(compare_config.base_config("digits", "small", changes, 4, 0))
    }
    everywhere, filtered = names({}), names({"model.encoder.sees": "filtered"})
    assert {"sees_filtered", "filtered_lifted", "lifted"} <= everywhere
    assert not {"sees_filtered", "filtered_lifted"} & filtered
    assert {"lifted", "velocity_lifted"} <= filtered


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


def of_table(modules, table, workdir, changes=None):
    of = {"data": "digits", "budget": "small", "table": table, "name": "t", "workdir": workdir, "seeds": 1}
    comparison = modules[2].Comparison(argparse.Namespace(**of, rows=None, latents=[4]), changes or {})
    comparison.rows_directory = workdir / "rows"
    return comparison


def keep(modules, comparison, name):
    """As if it had been trained: nothing but a = 1 was measured."""
    compare, row, pictures = modules[2], comparison.rows[name], comparison.rows_directory / "pictures.npz"
    pictures.parent.mkdir(exist_ok=True)
    save_pictures(pictures)
    directory = comparison.row_directory(row, 4, 0)
    compare.keep(directory, compare.fields(row, comparison.config_of(row, 4, 0)), "", {"a": 1.0}, pictures)
    return row


def save_pictures(path):
    images = np.full((12, 8, 8, 1), 0.6, np.float32)
    np.savez(path, **{name: images for name in ("original", "baseline/pca", "reconstruction", "baseline/mean_image")})


def test_a_swapped_row_decodes_with_the_next_seeds_prior(modules, tmp_path):
    comparison = of_table(modules, "compare", tmp_path)
    priors = lambda name: (lambda c: (c.prior.checkpoint, c.eval.prior))(
        comparison.config_of(comparison.rows[name], 4, 0)
    )
    trained_with, other = (str(comparison.prior_of(seed)) for seed in (0, 1))
    assert priors("swapped") == (trained_with, other)
    assert priors("lifted") == (trained_with, "")
    # And nothing else is another's.
    assert comparison.rows["swapped"].changes == comparison.rows["lifted"].changes


def test_a_row_may_have_a_prior_of_its_own(modules, tmp_path, monkeypatch):
    compare, comparison = modules[2], of_table(modules, "levers", tmp_path)
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


def test_what_has_no_prior_is_finished_beside_any(modules, tmp_path):
    """And what has one is not: it asks for another name."""
    simple = of_table(modules, "compare", tmp_path)
    other = of_table(modules, "compare", tmp_path, {"prior.weight": "simple_velocity"})
    for name in ("beta_vae_0.01", "diff_decoder_0.01", "lifted"):
        row = keep(modules, simple, name)
        assert simple.finished(row, 4, 0).metrics["a"] == 1.0
        if row.has_prior:
            with pytest.raises(
                BadInput, match=r"made with config.prior.weight 'simple', expected 'simple_velocity'; .* --name"
            ):
                other.finished(row, 4, 0)
        else:
            assert other.finished(row, 4, 0).metrics["a"] == 1.0


def test_the_level_at_which_a_prior_finishes_a_vae_is_nothing_to_other_rows(modules, tmp_path):
    one = of_table(modules, "compare", tmp_path)
    other = of_table(modules, "compare", tmp_path, {"sampling.prior_above": 1.0})
    for name in ("lifted", "beta_vae_0.01", "diffuse_vae"):
        row = keep(modules, one, name)
        if name == "diffuse_vae":
            with pytest.raises(BadInput, match=r"made with config.sampling.prior_above 3.0, expected 1.0"):
                other.finished(row, 4, 0)
        else:
            assert other.finished(row, 4, 0).metrics["a"] == 1.0


def test_rows_that_stand_on_a_prior_are_those_that_have_one(modules):
    compare_config, _, compare = modules
    plain = compare_config.base_config("digits", "small", {}, 4, 0)
    for table in compare.TABLES.values():
        for row in table.rows(plain):
            assert row.has_prior == (build(compare_config.with_changes(plain, row.changes)).prior is not None)


@pytest.mark.parametrize("table", ["bounds", "curves"])
def test_a_sweep_is_told_and_drawn_of_what_its_evaluators_tell(modules, tmp_path, monkeypatch, table):
    page = modules[1]
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "record", lambda *args, **facts: told.append(args))
    told, comparison = [], of_table(modules, table, tmp_path)
    metrics = {
        "n": 9,
        "split": "valid",
        "method": "ScoreVAE",
        "reconstruction/fd_pixels": 0.1,
        "reconstruction/l2": 1.0,
    }
    metrics |= {"reconstruction/mse": 0.1, "latent/kl": 3.0, "seconds/encoder": 5.0, "seconds/prior": 6.0}
    metrics |= {"average/l2": 0.9, "average/mse": 0.1, "average/decodings": 8.0} if table == "curves" else {}
    bits = {"bits_per_dim/total": 3.0, "bits_per_dim/above_prior": 0.1, "prior/bits_per_dim/total": 2.9}
    metrics |= bits if table == "bounds" else {}
    found = [
        {"row": row, "latent": latent, "seed": seed, "metrics": metrics, "directory": tmp_path, "made": MADE}
        for row in comparison.rows.values()
        for latent, seed in ((4, 0), (4, 1), (8, 0))
    ]
    page.write(page.Page("page", table, "digits", "small", ""), found, comparison.table.draw)
    ((_, _, _, head, rows, notes),) = told
    assert len(rows) == 2 * len(comparison.rows)
    assert ("bits/dim" in head) == ("bits/dim are bounds" in notes) == (table == "bounds")
    assert ("l2, average" in head) == ("the mean of 8 decodings" in notes) == (table == "curves")
    assert "another seed's prior" not in notes
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_what_is_in_the_latents_is_a_table_of_its_own(modules, tmp_path, monkeypatch):
    """Without the baselines, which have none, and without what was not measured."""
    page = modules[1]
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "record", lambda *args, **facts: told.append(args))
    told, comparison = [], of_table(modules, "compare", tmp_path)
    metrics = {"n": 9, "split": "test", "method": "ScoreVAE", "reconstruction/fd_pixels": 0.1, "reconstruction/l2": 1.0}
    metrics |= {"baseline/pca/l2": 2.0, "latent/kl": 3.0, "latent/mig": 0.25, "latent_prior/gaussian/fd_pixels": 0.5}
    metrics |= {"seconds/encoder": 5.0, "seconds/prior": 6.0}
    found = [
        {"row": comparison.rows["lifted"], "latent": 4, "seed": s, "metrics": metrics, "made": MADE} for s in (0, 1)
    ]
    page.write(page.Page("page", "compare", "digits", "small", ""), found, lambda *args: None)
    ((_, _, figures, head, rows, notes),) = told
    assert [row[1] for row in rows] == ["PCA", comparison.rows["lifted"].title]
    assert "MIG" not in head
    lines = notes.splitlines()
    table = lines.index("| latents | method | seeds | KL | MIG | FD, a Gaussian |")
    assert lines[table + 2] == f"| 4 | {comparison.rows['lifted'].title} | 2 | 3 | 0.25 | 0.5 |"
    assert not lines[table + 3]
    assert "What is in the latents" in notes
    assert "edited" not in notes
    assert figures["rows"][-1]["MIG"] == 0.25


def test_differences_are_seed_by_seed_to_the_beta_vae_of_equal_beta(modules, tmp_path):
    """Each seed shifts all methods alike and by much; the difference knows nothing of it."""
    from compare_paired import paired

    rows = of_table(modules, "compare", tmp_path).rows
    # Of each seed.
    of = {
        "beta_vae_0.01": (1, 1, 1),
        "beta_vae_1": (50, 50, 50),
        "lifted": (2, 2.2, 2.4),
        "diffuse_vae": (0.5, 1.2, 1.9),
        "diff_decoder_0.01": (3,),
        "beta_vae_learnt": (70, 70, 70),
    }
    found = [
        {"row": rows[name], "latent": 4, "seed": seed, "l2": value + 100 * seed}
        for name, values in of.items()
        for seed, value in enumerate(values)
    ]
    (head, *differences) = paired(found, lambda run, column: run.get(column))
    # Of one seed nothing is told.
    assert [row[: head.index("l2") + 1] for row in differences] == [
        ["4", rows["lifted"].title, "3", "1.20 ± 0.12*"],
        ["4", rows["diffuse_vae"].title, "3", "0.20 ± 0.40"],
        ["4", rows["beta_vae_learnt"].title, "3", "20*"],
    ]
    assert paired(found[:2], lambda run, column: run.get(column)) == []


def test_a_page_names_the_command_that_makes_all_of_it(modules, tmp_path):
    """Whatever the last of several was, and without the folder that it ran in."""
    comparison = of_table(modules, "compare", tmp_path, {"prior.weight": "velocity"})
    found = [
        {"row": comparison.rows[name], "latent": latent, "seed": seed}
        for name, latent, seed in (("lifted", 16, 0), ("beta_vae_1", 4, 2), ("lifted", 4, 0))
    ]
    assert comparison.command(found) == (
        "python benchmarks/compare.py --data digits --table compare --name t --seeds 3 --latents 4 16 --rows lifted beta_vae_1 "
        "--config.prior.weight=velocity"
    )


def test_that_command_says_its_values_as_it_reads_them(modules, tmp_path):
    """And nothing of the machine."""
    changes = {"model.likelihood.learn_log_var": True, "eval.lpips_dir": "/somewhere", "sampling.prior_below": None}
    changes |= {"data.name": "a b", "loss.beta": 0.5, "eval.fid_weights": "/else", "data.filter": "1"}
    comparison = of_table(modules, "compare", tmp_path)
    comparison.changes = changes
    words = shlex.split(comparison.command([{"row": comparison.rows["lifted"], "latent": 4, "seed": 0}]))
    told = modules[2].overrides([word for word in words if word.startswith("--config.")])
    assert told == {
        name: value for name, value in changes.items() if name not in ("eval.lpips_dir", "eval.fid_weights")
    }


def test_a_row_is_the_same_on_another_machine_and_under_a_later_config(modules, tmp_path):
    """Where images lie and how they are fed is the machine's; a field that came later had its default."""
    comparison = of_table(modules, "compare", tmp_path)
    row = keep(modules, comparison, "lifted")
    machines = {"data.dir": "/elsewhere", "parallel": "data", "eval.batch_size": 32}
    assert of_table(modules, "compare", tmp_path, machines).finished(row, 4, 0)
    path = comparison.row_directory(row, 4, 0) / "made.json"
    made = json.loads(path.read_text())
    del made["config"]["model.encoder.dropout"]
    logs.write_json(path, made)
    assert comparison.finished(row, 4, 0)
    with pytest.raises(BadInput, match=r"model.encoder.dropout 0.0, expected 0.1"):
        of_table(modules, "compare", tmp_path, {"model.encoder.dropout": 0.1}).finished(row, 4, 0)
    # Its metrics are written last: without them it is not there.
    path.with_name("metrics.json").unlink()
    assert comparison.finished(row, 4, 0) is None


def test_a_page_of_rows_that_are_not_kept_is_not_written_over(modules, tmp_path, monkeypatch):
    page = modules[1]
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    row = of_table(modules, "compare", tmp_path).rows["lifted"]
    told = [{"latent": 4, "method": row.title}, {"latent": 4, "method": "PCA"}]
    logs.write_json(tmp_path / "t.json", {"figures": {"rows": told}})
    page.check("t", [{"latent": 4, "row": row}])
    page.check("another", [])
    with pytest.raises(BadInput, match=r"tells of 'ScoreVAE, lifted, beta 0.01' with 4 latents.*--name"):
        page.check("t", [{"latent": 8, "row": row}])


def test_over_seeds(modules):
    import compare_seeds as seeds

    runs = [{"a": 1.0, "a_stderr": 9.0}, {"a": 3.0}, {"a": float("nan")}, {}]
    mean, error = seeds.over_seeds(runs, "a")
    assert (mean, error) == (2.0, pytest.approx(np.std([1, 3], ddof=1) / np.sqrt(2)))
    assert seeds.over_seeds(runs[:1], "a") == (1.0, 9.0)
    assert seeds.over_seeds(runs[3:], "a") == (None, None)


def test_an_error_that_is_rounding_is_not_shown(modules):
    import compare_seeds as seeds

    assert seeds.cell(3.29048387324096, 3e-16) == "3.29"
    assert seeds.cell(3.29, 0.01) == "3.290 ± 0.010"
    assert seeds.cell(None, None) == ""


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


def test_the_same_command_goes_on_where_it_was_stopped(modules, tmp_path, monkeypatch):
    compare, evaluated, pages = modules[2], [], []
    stopped_after, steps = 2, 2000

    def evaluate(config, experiment, folder):
        evaluated.append(f"{folder.parent.parent.name}/{folder.name}")
        logs.write_json(folder / "eval" / "metrics.json", {"n": 9, "step": steps})
        save_pictures(folder / "eval" / "reconstructions.npz")

    monkeypatch.setattr(compare.commands, "train", lambda *args: len(evaluated) < stopped_after)
    monkeypatch.setattr(compare.commands, "eval_", evaluate)
    # Nothing is trained, and so nothing is timed.
    monkeypatch.setattr(compare.commands, "load_prior", lambda *args: argparse.Namespace(params={}))
    monkeypatch.setattr(compare.platform, "enable_compilation_cache", lambda: None)
    for module in (compare, compare.compare_page):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(compare.compare_page, "write", lambda page, found, draw: pages.append(len(found)))
    options = argparse.Namespace(
        data="digits", budget="small", table="compare", latents=[4], workdir=tmp_path / "one", name=None
    )
    options.seeds, options.rows = 2, ["lifted", "beta_vae_0.01"]
    compare.compare(options, {})
    assert evaluated == ["seed_0/lifted", "seed_0/beta_vae_0.01"]
    assert pages == [1, 2]
    stopped_after = 4
    compare.compare(options, {})
    assert evaluated[2:] == ["seed_1/lifted", "seed_1/beta_vae_0.01"]
    assert pages == [1, 2, 3, 4]
    # Of what is finished the page is written once, and nothing is done again, on another machine neither.
    options.workdir = tmp_path / "another"
    compare.compare(options, {})
    assert len(evaluated) == 4
    assert pages == [1, 2, 3, 4, 4]
    # And nothing that is kept tells where it was made.
    kept = [path.read_text() for path in (tmp_path / "results" / "rows" / "compare_digits").rglob("*.json")]
    assert len(kept) == 8
    assert not any(str(tmp_path) in text for text in kept)
    # What was trained for another number of steps is not kept.
    steps, stopped_after, options.name = 1000, 5, "another"
    with pytest.raises(BadInput, match="was trained for 1000 steps, expected 2000; take another --workdir"):
        compare.compare(options, {})
    assert not list((tmp_path / "results" / "rows" / "another").rglob("metrics.json"))
