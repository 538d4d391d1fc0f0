"""The comparison's pages: figures are what they are called, and differences are of pairs."""

import shlex

import compare
import compare_page
import compare_seeds as seeds
import numpy as np
import pytest
from compare_glance import glance
from compare_paired import of_beta_vae, of_uncorrected, paired

from sde_vae import logs
from sde_vae.errors import BadInput
from tests.compared import of_table

MADE = {"prior": "", "machine": "one", "versions": {"jax": "1"}}


def test_a_page_of_rows_that_are_not_kept_is_not_written_over(tmp_path, monkeypatch):
    monkeypatch.setattr(compare_page, "RESULTS", tmp_path)
    row = of_table("compare", tmp_path).rows["lifted"]
    told = [{"latent": 4, "method": row.title}, {"latent": 4, "method": "PCA"}]
    logs.write_json(tmp_path / "t.json", {"figures": {"rows": told}})
    compare_page.check("t", [{"latent": 4, "row": row}])
    compare_page.check("another", [])
    with pytest.raises(BadInput, match=r"tells of 'ScoreVAE, lifted, beta 0.01' with 4 latents.*--name"):
        compare_page.check("t", [{"latent": 8, "row": row}])


def test_a_page_names_the_command_that_makes_all_of_it(tmp_path):
    """Whatever the last of several was, without the folder that it ran in and what is so anyway."""
    comparison = of_table("compare", tmp_path, {"prior.weight": "velocity", "loss.weight": "velocity"})
    found = [
        {"row": comparison.rows[name], "latent": latent, "seed": seed}
        for name, latent, seed in (("lifted", 16, 0), ("beta_vae_1", 4, 2), ("lifted", 4, 0))
    ]
    assert comparison.command(found) == (
        "python benchmarks/compare.py --data digits --table compare --name t --seeds 3 --latents 4 16 --rows lifted beta_vae_1 "
        "--config.prior.weight=velocity"
    )


def test_that_command_says_its_values_as_it_reads_them(tmp_path):
    """And nothing of the machine."""
    changes = {"model.likelihood.learn_log_var": True, "eval.lpips_dir": "/somewhere", "sampling.prior_below": None}
    changes |= {"data.name": "a b", "loss.beta": 0.5, "eval.fid_weights": "/else", "data.filter": "1"}
    comparison = of_table("compare", tmp_path)
    comparison.told = changes
    words = shlex.split(comparison.command([{"row": comparison.rows["lifted"], "latent": 4, "seed": 0}]))
    told = compare.overrides([word for word in words if word.startswith("--config.")])
    assert told == {
        name: value for name, value in changes.items() if name not in ("eval.lpips_dir", "eval.fid_weights")
    }


@pytest.mark.parametrize("table", ["bounds", "curves"])
def test_a_sweep_is_told_and_drawn_of_what_its_evaluators_tell(tmp_path, monkeypatch, table):
    monkeypatch.setattr(compare_page, "RESULTS", tmp_path)
    monkeypatch.setattr(compare_page, "record", lambda *args, **facts: told.append(args))
    told, comparison = [], of_table(table, tmp_path)
    metrics = {
        "n": 9,
        "split": "valid",
        "method": "ScoreVAE",
        "reconstruction/fd_pixels": 0.1,
        "reconstruction/kid_pixels": 0.2,
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
    compare_page.write(compare_page.Page("page", table, "digits", "small", ""), found, comparison.table.draw)
    ((_, _, _, head, rows, notes),) = told
    assert len(rows) == len(comparison.rows)
    assert ("bits/dim" in head) == ("bits/dim are bounds" in notes) == (table == "bounds")
    assert ("l2, average" in head) == ("the mean of 8 decodings" in notes) == (table == "curves")
    assert "another seed's prior" not in notes
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_what_is_in_the_latents_is_a_table_of_its_own(tmp_path, monkeypatch):
    """Without the baselines, which have none, and without what was not measured."""
    monkeypatch.setattr(compare_page, "RESULTS", tmp_path)
    monkeypatch.setattr(compare_page, "record", lambda *args, **facts: told.append(args))
    told, comparison = [], of_table("compare", tmp_path)
    metrics = {"n": 9, "split": "test", "method": "ScoreVAE", "reconstruction/fd_pixels": 0.1, "reconstruction/l2": 1.0}
    metrics |= {
        "reconstruction/kid_pixels": 0.2,
        "baseline/pca/l2": 2.0,
        "latent/kl": 3.0,
        "latent/mig": 0.25,
        "latent_prior/gaussian/fd_pixels": 0.5,
    }
    metrics |= {"seconds/encoder": 5.0, "seconds/prior": 6.0}
    found = [
        {"row": comparison.rows["lifted"], "latent": 4, "seed": s, "metrics": metrics, "made": MADE} for s in (0, 1)
    ]
    compare_page.write(compare_page.Page("page", "compare", "digits", "small", ""), found, lambda *args: None)
    ((_, _, figures, _, rows, notes),) = told
    title = comparison.rows["lifted"].title
    assert [row[0] for row in rows] == ["PCA", title]
    lines = notes.splitlines()
    assert [line.split(" | ")[1] for line in lines if line.startswith("| 4 ")] == ["PCA", title, title]
    assert "MIG" not in next(line for line in lines if line.startswith("| latents | method |"))
    table = lines.index("| latents | method | seeds | KL | MIG | FD, a Gaussian |")
    assert lines[table + 2] == f"| 4 | {title} | 2 | 3 | 0.25 | 0.5 |"
    assert not lines[table + 3]
    assert "What is in the latents" in notes
    assert "edited" not in notes
    assert figures["rows"][-1]["MIG"] == 0.25


def test_a_page_begins_at_a_glance(tmp_path, monkeypatch):
    told, rows = [], of_table("compare", tmp_path).rows
    monkeypatch.setattr(compare_page, "RESULTS", tmp_path)
    monkeypatch.setattr(compare_page, "record", lambda *args, **facts: told.append(args))
    metrics = {"n": 9, "split": "test", "reconstruction/fd_pixels": 0.1, "reconstruction/l2": 1.0, "seconds/prior": 6.0}
    metrics |= {"reconstruction/kid_pixels": 0.2}
    found = [
        {"row": rows[name], "latent": latent, "seed": 0, "metrics": metrics | {"seconds/encoder": 5.0}, "made": MADE}
        for latent in (4, 8)
        for name in ("lifted", "lifted_draws")
    ]
    compare_page.write(compare_page.Page("page", "compare", "digits", "small", ""), found, lambda *args: None)
    ((_, _, _, head, glanced, notes),) = told
    assert head == ["latents 4 / 8", "seeds", "l2", "rFD", "rKID"]
    assert glanced == [
        [rows[name].title, "1", "1.00 / 1.00", "0.100 / 0.100", "0.200 / 0.200"] for name in ("lifted", "lifted_draws")
    ]
    assert "| latents | method | seeds |" in notes
    assert "`and draws`: 50% of what is trained on" in notes


def test_differences_are_seed_by_seed_to_the_beta_vae_of_equal_beta(tmp_path):
    """Each seed shifts all methods alike and by much; the difference knows nothing of it."""
    rows = of_table("compare", tmp_path).rows
    # Of each seed.
    of = {
        "beta_vae_0.01": (1, 1, 1),
        "beta_vae_1": (50, 50, 50),
        "lifted": (2, 2.2, 2.4),
        "diffuse_vae": (0.5, 1.2, 1.9),
        "diff_decoder_0.01": (3,),
        "beta_vae_learnt": (70, 70, 70),
        # Those are of each other.
        "lifted_draws": (30, 31, 32),
        "beta_vae_0.01_draws": (20, 20, 20),
        # And of the ScoreVAE that they correct.
        "score_vae_plus_head": (5, 5, 5),
        "score_vae": (6, 6.5, 7),
        "swapped": (80, 80, 80),
        "lifted_plus": (2.2, 2.1),
    }
    found = [
        {"row": rows[name], "latent": 4, "seed": seed, "l2": value + 100 * seed}
        for name, values in of.items()
        for seed, value in enumerate(values)
    ]
    of = lambda run, column: run.get(column)
    (head, *differences) = paired(found, of, of_beta_vae)
    # Of one seed nothing is told.
    assert [row[: head.index("l2") + 1] for row in differences] == [
        ["4", rows["lifted"].title, "3", "1.20 ± 0.12*"],
        ["4", rows["diffuse_vae"].title, "3", "0.20 ± 0.40"],
        ["4", rows["beta_vae_learnt"].title, "3", "20*"],
        ["4", rows["lifted_draws"].title, "3", "11.00 ± 0.58*"],
        ["4", rows["score_vae_plus_head"].title, "3", "4*"],
        ["4", rows["score_vae"].title, "3", "5.50 ± 0.29*"],
        ["4", rows["swapped"].title, "3", "79*"],
        ["4", rows["lifted_plus"].title, "2", "1.150 ± 0.050*"],
    ]
    (head, *differences) = paired(found, of, of_uncorrected)
    assert [row[: head.index("l2") + 1] for row in differences] == [
        ["4", rows["score_vae_plus_head"].title, "3", "-1.50 ± 0.29*"],
        ["4", rows["lifted_plus"].title, "2", "0.05 ± 0.15"],
    ]
    assert paired(found[:2], of, of_beta_vae) == []


def test_at_a_glance_sizes_stand_side_by_side_and_what_was_not_run_is_a_dash():
    seeds = lambda n: {"l2": [1.0] * n}
    figures = [
        {"method": "one", "latent": 2, "l2": 12.3456, "rFD": 1271.3, "NFE": 9, "seeds": seeds(1)},
        {"method": "two", "latent": 4, "l2": 1.0, "seeds": seeds(3)},
        {"method": "one", "latent": 4, "l2": 1.25, "rFD": 0.04449, "NFE": 9, "seeds": seeds(3)},
    ]
    methods = ["none", "two", "one"]
    assert glance(figures, methods) == [
        ["latents 2 / 4", "seeds", "l2", "rFD"],
        ["two", "- / 3", "- / 1.00", ""],
        ["one", "1 / 3", "12.3 / 1.25", "1271 / 0.0445"],
    ]
    assert glance(figures[1:], methods) == [
        ["latents 4", "seeds", "l2", "rFD"],
        ["two", "3", "1.00", ""],
        ["one", "3", "1.25", "0.0445"],
    ]


def test_over_seeds():
    runs = [{"a": 1.0, "a_stderr": 9.0}, {"a": 3.0}, {"a": float("nan")}, {}]
    mean, error = seeds.over_seeds(runs, "a")
    assert (mean, error) == (2.0, pytest.approx(np.std([1, 3], ddof=1) / np.sqrt(2)))
    assert seeds.over_seeds(runs[:1], "a") == (1.0, 9.0)
    assert seeds.over_seeds(runs[3:], "a") == (None, None)


def test_an_error_that_is_rounding_is_not_shown():
    assert seeds.cell(3.29048387324096, 3e-16) == "3.29"
    assert seeds.cell(3.29, 0.01) == "3.290 ± 0.010"
    assert seeds.cell(None, None) == ""


def test_the_limit_of_many_decodings():
    """Of an image known up to noise: decodings err by b in common and by v each, and infinitely many by b alone."""
    rng, k, b, v = np.random.default_rng(0), 8, 0.3, 2.0
    common = np.sqrt(b) * rng.standard_normal(100_000)
    one, many = (
        common + np.sqrt(v) * rng.standard_normal(100_000),
        common + np.sqrt(v / k) * rng.standard_normal(100_000),
    )
    found = compare_page.limit(
        {"average/decodings": k, "average/mse": np.mean(many**2), "reconstruction/mse": np.mean(one**2)}
    )
    assert found == pytest.approx(b, abs=0.02)
