"""The comparison resumes: finished rows are found in the results, and not taken for what they are not."""

import json

import numpy as np
import pytest

from benchmarks.comparison import results, run, training
from benchmarks.comparison.plan import Comparison, Options
from benchmarks.record import RESULTS, rounded
from sde_vae.errors import BadInput
from tests.helpers.compared import keep, of_table, record_of, results_of


def finished(comparison, row):
    return comparison.load().find(row.name, 4, 0)


def test_a_row_without_a_prior_is_finished_beside_any_prior(tmp_path):
    """One with a prior is not: it asks for another name."""
    for name in ("beta_vae_0.01", "diff_decoder_0.01", "lifted", "beta_vae_0.01_synthetic"):
        folder = tmp_path / name
        chosen = of_table("compare", folder)
        other = of_table("compare", folder, {"stages.prior.weight": "simple"})
        row = keep(chosen, name, a=1.0)
        assert finished(chosen, row)["metrics"]["a"] == 1.0
        if row.has_prior:
            expected = r"made with config.stages.prior.weight 'simple_velocity', expected 'simple'; .* --name"
            with pytest.raises(BadInput, match=expected):
                other.load()
        else:
            assert finished(other, row)["metrics"]["a"] == 1.0


KEPT = [path for path in sorted(RESULTS.glob("*.json")) if "rows" in json.loads(path.read_text())]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_the_command_finds_all_kept_rows_without_further_settings(path):
    read = json.loads(path.read_text())
    table, data = path.stem.split("_", 1)
    comparison = Comparison(Options(data=data, table=table), {})
    assert len(comparison.load().records) == len(read["rows"]) > 0


def test_a_row_of_another_table_is_not_written_over(tmp_path):
    comparison = of_table("compare", tmp_path)
    keep(comparison, "lifted")
    comparison.path.write_text(comparison.path.read_text().replace('"lifted"', '"lifted_5"'))
    with pytest.raises(BadInput, match=r"has the row 'lifted_5', which this table lacks; take another --name"):
        comparison.load()


def test_results_are_read_as_they_were_written(tmp_path):
    comparison = of_table("compare", tmp_path)
    records = [
        record_of(comparison, "lifted", 4, 0, a=0.123456789012, prior="abc"),
        record_of(comparison, "lifted", 4, 1, b=float("nan")),
        record_of(comparison, "beta_vae_0.01", 8, 0, b=1e-9, a=2.0),
    ]
    found = results_of(comparison, records)
    results.save(comparison.path, found)
    read = results.load(comparison.path)
    assert (read.facts, read.methods, read.references) == (found.facts, found.methods, found.references)
    for before, after in zip(records, read.records, strict=True):
        assert {**before["config"]} == after["config"]
        assert results.place_of(before) == results.place_of(after)
        assert (before["prior"], before["made"]) == (after["prior"], after["made"])
        whole = {name: value for name, value in before["metrics"].items() if value == value}
        assert after["metrics"] == rounded(whole)
    # The second seed of a row and latent size has no image: none is shown of it.
    assert [bool(record["image"]) for record in read.records] == [True, False, True]
    # Each row is one line.
    lines = comparison.path.read_text().splitlines()
    assert sum(line.startswith('{"row":') for line in lines) == 3


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_kept_to_256_levels(channels):
    images = np.random.default_rng(0).random((10, 6, 6, channels))
    np.testing.assert_allclose(results.decode(results.encode(images)), images[:8], atol=0.5 / 255 + 1e-9)


def test_synthetic_images_lie_with_the_prior_and_move_with_it(tmp_path):
    prior, folder = tmp_path / "a" / "seed_0", tmp_path / "a" / "seed_0" / "latent_4" / "row"
    for _ in range(2):
        training.share_synthetic(folder, prior)
    (folder / "synthetic" / "key.json").write_text("{}")
    (tmp_path / "a").rename(tmp_path / "b")
    moved = tmp_path / "b" / "seed_0"
    link = moved / "latent_4" / "row" / "synthetic"
    assert (link / "key.json").samefile(moved / "synthetic" / "key.json")
    # Images that were removed are sampled again.
    (moved / "synthetic" / "key.json").unlink()
    (moved / "synthetic").rmdir()
    training.share_synthetic(moved / "latent_4" / "row", moved)
    assert link.is_dir()


def test_only_a_finished_vae_depends_on_the_level_of_its_prior(tmp_path):
    for name in ("lifted", "beta_vae_0.01", "diffuse_vae"):
        folder = tmp_path / name
        row = keep(of_table("compare", folder), name)
        other = of_table("compare", folder, {"sampling.prior_above": 1.0})
        if name == "diffuse_vae":
            with pytest.raises(BadInput, match=r"made with config.sampling.prior_above 3.0, expected 1.0"):
                other.load()
        else:
            assert finished(other, row)


def test_a_row_is_the_same_on_another_machine_and_under_a_later_config(tmp_path):
    """Where images lie and how they are fed is the machine's; a field that came later had its default."""
    comparison = of_table("compare", tmp_path)
    row = keep(comparison, "lifted")
    machines = {"data.dir": "/elsewhere", "parallel": "data", "eval.batch_size": 32, "stages.prior.accumulation": 2}
    assert finished(of_table("compare", tmp_path, machines), row)
    read = json.loads(comparison.path.read_text())
    del read["common"]["config"]["model.encoder.dropout"]
    comparison.path.write_text(json.dumps(read))
    assert finished(comparison, row)
    with pytest.raises(BadInput, match=r"model.encoder.dropout 0.0, expected 0.1"):
        of_table("compare", tmp_path, {"model.encoder.dropout": 0.1}).load()


def test_training_seconds_leave_out_what_was_not_training(tmp_path):
    lines = [{"step": 10}, {"step": 20, "steps_per_second": 4.0}, {"step": 40, "steps_per_second": 5.0}]
    lines += [{"step": 60, "steps_per_second": 0.1}]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert training.training_seconds(tmp_path) == 60 / 4.0


class Trainer:
    """Stands for training and evaluation: counts rows, and stops when told to."""

    def __init__(self, folder, stop_after):
        self.evaluated, self.stop_after, self.steps, self.images = [], stop_after, 2000, folder / "images.npz"
        arrays = dict.fromkeys(("original", "baseline/pca", "reconstruction"), np.full((12, 8, 8, 1), 0.6))
        np.savez(self.images, **arrays)

    def train(self, config, directory, only=""):
        return len(self.evaluated) < self.stop_after

    def evaluate(self, config, directory):
        self.evaluated.append(f"{directory.parent.parent.name}/{directory.name}")
        return {"n": 9, "step": self.steps}, self.images


def test_the_same_command_resumes(tmp_path, monkeypatch):
    trainer, pages = Trainer(tmp_path, stop_after=2), []
    monkeypatch.setattr(training, "train", trainer.train)
    monkeypatch.setattr(training, "evaluate", trainer.evaluate)
    monkeypatch.setattr(training, "prior_digest", lambda *args: "abc")
    monkeypatch.setattr("benchmarks.comparison.plan.RESULTS", tmp_path / "results")
    monkeypatch.setattr(run, "write", lambda comparison, found: _save(comparison, found, pages))
    options = Options("digits", latents=[4], workdir=tmp_path / "one", seeds=2, rows=["lifted", "beta_vae_0.01"])
    run.compare(options, {})
    assert trainer.evaluated == ["seed_0/lifted", "seed_0/beta_vae_0.01"]
    assert pages == [1, 2]
    trainer.stop_after = 4
    run.compare(options, {})
    assert trainer.evaluated[2:] == ["seed_1/lifted", "seed_1/beta_vae_0.01"]
    assert pages == [1, 2, 3, 4]
    # When all is finished the page is written once, and nothing is done again, nor on another machine.
    run.compare(options._replace(workdir=tmp_path / "another"), {})
    assert len(trainer.evaluated) == 4
    assert pages == [1, 2, 3, 4, 4]
    # The results do not say where they were made.
    kept = tmp_path / "results" / "compare_digits.json"
    assert str(tmp_path) not in kept.read_text()
    # A row that was trained for another number of steps is not kept.
    trainer.steps, trainer.stop_after = 1000, 5
    with pytest.raises(BadInput, match="was trained for 1000 steps, expected 2000; take another --workdir"):
        run.compare(options._replace(workdir=tmp_path / "another", name="other"), {})
    assert not (tmp_path / "results" / "other.json").exists()


def _save(comparison, found, pages):
    results.save(comparison.path, found)
    pages.append(len(found.records))


def test_a_bad_row_is_refused_before_the_first_is_trained(tmp_path, monkeypatch):
    trainer = Trainer(tmp_path, stop_after=9)
    monkeypatch.setattr(training, "train", trainer.train)
    monkeypatch.setattr("benchmarks.comparison.plan.RESULTS", tmp_path / "results")
    options = Options("digits", latents=[4], workdir=tmp_path, seeds=1, rows=["beta_vae_0.01", "diffuse_vae"])
    with pytest.raises(BadInput, match=r"config\.sampling\.solver"):
        run.compare(options, {"sampling.solver": "none"})
    with pytest.raises(BadInput, match=r"config\.eval\.fid_weights"):
        run.compare(options, {"eval.extractor": "fid"})
    assert not trainer.evaluated
