"""The comparison: what is finished is kept, found again, and not taken for what it is not."""

import argparse
import json

import compare
import pytest
from record import RESULTS

from sde_vae import logs
from sde_vae.errors import BadInput
from tests.compared import keep, of_table, save_pictures


def test_what_has_no_prior_is_finished_beside_any(tmp_path):
    """And what has one is not: it asks for another name."""
    simple = of_table("compare", tmp_path)
    other = of_table("compare", tmp_path, {"prior.weight": "simple"})
    for name in ("beta_vae_0.01", "diff_decoder_0.01", "lifted", "beta_vae_0.01_draws"):
        row = keep(simple, name)
        assert simple.finished(row, 4, 0).metrics["a"] == 1.0
        if row.has_prior:
            with pytest.raises(
                BadInput, match=r"made with config.prior.weight 'simple_velocity', expected 'simple'; .* --name"
            ):
                other.finished(row, 4, 0)
        else:
            assert other.finished(row, 4, 0).metrics["a"] == 1.0


@pytest.mark.parametrize("name", sorted(folder.name for folder in (RESULTS / "rows").iterdir()))
def test_the_command_finds_all_that_is_kept_without_further_settings(name):
    table, data = name.split("_", 1)
    of = {"data": data, "budget": "small", "table": table, "name": None, "workdir": None, "seeds": 1}
    comparison = compare.Comparison(argparse.Namespace(**of, rows=None, latents=None), {})
    kept = list(comparison.rows_directory.glob("*/*/*/metrics.json"))
    assert len(comparison.all_finished()) == len(kept) > 0


def test_draws_lie_with_the_prior_and_can_be_moved_with_it(tmp_path):
    shared, folder = tmp_path / "a" / "seed_0" / "draws", tmp_path / "a" / "seed_0" / "latent_4" / "row" / "draws"
    for _ in range(2):
        compare.link(folder, shared)
    (folder / "key.json").write_text("{}")
    (tmp_path / "a").rename(tmp_path / "b")
    moved = tmp_path / "b" / "seed_0"
    assert (moved / "latent_4" / "row" / "draws" / "key.json").samefile(moved / "draws" / "key.json")
    # What was drawn has been removed: it is drawn again.
    (moved / "draws" / "key.json").unlink()
    (moved / "draws").rmdir()
    compare.link(moved / "latent_4" / "row" / "draws", moved / "draws")
    assert (moved / "latent_4" / "row" / "draws").is_dir()


def test_the_level_at_which_a_prior_finishes_a_vae_is_nothing_to_other_rows(tmp_path):
    one = of_table("compare", tmp_path)
    other = of_table("compare", tmp_path, {"sampling.prior_above": 1.0})
    for name in ("lifted", "beta_vae_0.01", "diffuse_vae"):
        row = keep(one, name)
        if name == "diffuse_vae":
            with pytest.raises(BadInput, match=r"made with config.sampling.prior_above 3.0, expected 1.0"):
                other.finished(row, 4, 0)
        else:
            assert other.finished(row, 4, 0).metrics["a"] == 1.0


def test_a_row_is_the_same_on_another_machine_and_under_a_later_config(tmp_path):
    """Where images lie and how they are fed is the machine's; a field that came later had its default."""
    comparison = of_table("compare", tmp_path)
    row = keep(comparison, "lifted")
    machines = {"data.dir": "/elsewhere", "parallel": "data", "eval.batch_size": 32}
    assert of_table("compare", tmp_path, machines).finished(row, 4, 0)
    path = comparison.row_directory(row, 4, 0) / "made.json"
    made = json.loads(path.read_text())
    del made["config"]["model.encoder.dropout"]
    logs.write_json(path, made)
    assert comparison.finished(row, 4, 0)
    with pytest.raises(BadInput, match=r"model.encoder.dropout 0.0, expected 0.1"):
        of_table("compare", tmp_path, {"model.encoder.dropout": 0.1}).finished(row, 4, 0)
    # Its metrics are written last: without them it is not there.
    path.with_name("metrics.json").unlink()
    assert comparison.finished(row, 4, 0) is None


def test_training_seconds_leave_out_what_was_not_training(tmp_path):
    lines = [{"step": 10}, {"step": 20, "steps_per_second": 4.0}, {"step": 40, "steps_per_second": 5.0}]
    lines += [{"step": 60, "steps_per_second": 0.1}]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{line}\n".replace("'", '"') for line in lines))
    assert compare.training_seconds(tmp_path) == 60 / 4.0


def test_the_same_command_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    evaluated, pages = [], []
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
