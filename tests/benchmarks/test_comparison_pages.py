"""The comparison's pages: figures are what they are called, and differences are of pairs."""

import shlex

import numpy as np
import pandas as pd
import pytest

from benchmarks.arguments import overrides
from benchmarks.comparison import page, results
from benchmarks.comparison.columns import IMAGES, LATENTS
from benchmarks.comparison.run import write
from benchmarks.comparison.statistics import cell, over_seeds, paired, starred
from tests.helpers.compared import of_table, record_of, results_of
from tests.helpers.rarely import rarely


def tables_of(lines):
    """The markdown tables of a page, each a list of rows of cells, the head first."""
    tables, rows = [], []
    for line in [*lines, ""]:
        if line.startswith("|"):
            rows.append(line[2:-2].split(" | "))
        elif rows:
            tables.append([rows[0], *rows[2:]])
            rows = []
    return tables


def saved(comparison, records):
    """The results of these rows, as they are read from the file."""
    results.save(comparison.path, results_of(comparison, records))
    return results.load(comparison.path)


def test_a_page_names_the_command_that_makes_all_of_it(tmp_path):
    """Whatever the last of several was, without its folder and without what is so anyway."""
    comparison = of_table("compare", tmp_path, {"stages.prior.weight": "velocity", "stages.encoder.weight": "velocity"})
    places = (("lifted", 16, 0), ("beta_vae_1", 4, 2), ("lifted", 4, 0))
    found = results_of(comparison, [record_of(comparison, *place) for place in places])
    assert comparison.command(found) == (
        "python -m benchmarks.comparison --data digits --table compare --name t --seeds 3 --latents 4 16 --rows lifted beta_vae_1 "
        "--config.stages.prior.weight=velocity"
    )


def test_that_command_says_its_values_as_it_reads_them(tmp_path):
    """And nothing of the machine."""
    changes = {"model.likelihood.learn_log_var": True, "eval.lpips_dir": "/somewhere", "sampling.prior_below": None}
    changes |= {"data.name": "a b", "loss.beta": 0.5, "eval.fid_weights": "/else", "data.filter": "1"}
    comparison = of_table("compare", tmp_path)
    comparison.given = changes
    words = shlex.split(comparison.command(results_of(comparison, [record_of(comparison, "lifted")])))
    machine = ("eval.lpips_dir", "eval.fid_weights")
    assert overrides([word for word in words if word.startswith("--config.")]) == {
        name: value for name, value in changes.items() if name not in machine
    }


@pytest.mark.parametrize("table", ["bounds", *rarely("curves")])
def test_a_sweep_is_tabulated_and_drawn_of_what_its_evaluators_measure(tmp_path, table):
    comparison = of_table(table, tmp_path)
    metrics = {"split": "valid", "reconstruction/mse": 0.1, "latent/kl": 3.0, "image": ""}
    if table == "curves":
        metrics |= {"multi_sample_mean/l2": 0.9, "multi_sample_mean/mse": 0.1, "multi_sample/decodings": 8.0}
    else:
        metrics |= {"bits_per_dim/total": 3.0, "bits_per_dim/above_prior": 0.1, "prior/bits_per_dim/total": 2.9}
    places = ((4, 0), (4, 1), (8, 0))
    records = [record_of(comparison, name, *place, **metrics) for name in comparison.rows for place in places]
    write(comparison, results_of(comparison, records))
    text = (tmp_path / "t.md").read_text()
    glance = tables_of(text.splitlines())[0]
    assert [row[0] for row in glance[1:]] == [row.title for row in comparison.rows.values()]
    assert ("bits/dim ↓" in glance[0]) == ("Bits/dim is an upper bound" in text) == (table == "bounds")
    assert ("l2, mean of 8 ↓" in glance[0]) == ("the mean of 8 decodings" in text) == (table == "curves")
    assert "Another seed's prior" not in text
    assert text.splitlines()[-1].startswith("Made by `python -m benchmarks.comparison --data digits")
    assert (tmp_path / "t.png").stat().st_size > 5_000


def test_the_latents_are_a_table_of_their_own(tmp_path):
    """Without the baselines, which have none, and without what was not measured."""
    comparison = of_table("compare", tmp_path)
    metrics = {"baseline/pca/l2": 2.0, "latent/kl": 3.0, "latent/mig": 0.25, "latent_prior/gaussian/fd_pixels": 0.5}
    records = [record_of(comparison, "lifted", seed=seed, **metrics) for seed in (0, 1)]
    lines = page.lines(saved(comparison, records))
    glance, images, latents = tables_of(lines)
    title = comparison.rows["lifted"].title
    assert [row[0] for row in glance[1:]] == ["PCA", title]
    assert [row[1] for row in images[1:]] == ["PCA", title]
    assert "MIG ↑" not in images[0]
    assert latents == [
        ["latents", "method", "seeds", "KL, nats", "MIG ↑", "FD, z ~ Gaussian fit ↓"],
        ["4", title, "2", "3", "0.25", "0.5"],
    ]
    (notes,) = (line for line in lines if line.startswith("The latents. "))
    assert "from the data's factors" in notes
    assert "Edit success" not in notes


def test_a_page_begins_at_a_glance(tmp_path):
    comparison = of_table("compare", tmp_path)
    names = ("lifted", "lifted_synthetic")
    records = [record_of(comparison, name, latent) for latent in (4, 8) for name in names]
    lines = page.lines(saved(comparison, records))
    assert tables_of(lines)[0] == [
        ["latents 4 / 8", "seeds", "l2 ↓", "FD ↓", "KID ↓"],
        *([comparison.rows[name].title, "1", "1.00 / 1.00", "0.100 / 0.100", "0.200 / 0.200"] for name in names),
    ]
    assert "*Synthetic images*: 50% of the training images" in "\n".join(lines)


def test_a_page_tells_where_priors_of_one_seed_differ(tmp_path):
    comparison = of_table("compare", tmp_path)

    def text(*priors):
        records = [record_of(comparison, n, prior=p) for n, p in zip(("lifted", "score_vae"), priors, strict=True)]
        return "\n".join(page.lines(saved(comparison, records)))

    assert "on several machines" not in text("a", "a")
    assert "on several machines" in text("a", "b")


def test_at_a_glance_sizes_stand_side_by_side_and_what_was_not_run_is_a_dash():
    names = {"name_of_fd": "fd_pixels", "name_of_kid": "kid_pixels"}
    of = lambda method, latent, seeds, **metrics: [
        {"method": method, "latent": latent, "seed": seed}
        | names
        | {f"reconstruction/{n}": v for n, v in metrics.items()}
        for seed in range(seeds)
    ]
    two = of("two", 4, 3, l2=1.0)
    one = [*of("one", 2, 1, l2=12.3456, fd=1271.3, nfe=9), *of("one", 4, 3, l2=1.25, fd=0.04449, nfe=9)]
    none = of("none", 4, 1, nfe=9)
    assert page.glance(pd.DataFrame([*none, *two, *one])) == [
        ["latents 2 / 4", "seeds", "l2 ↓", "FD ↓"],
        ["two", "- / 3", "- / 1.00", ""],
        ["one", "1 / 3", "12.3 / 1.25", "1271 / 0.0445"],
    ]
    assert page.glance(pd.DataFrame([*two, *one[1:]])) == [
        ["latents 4", "seeds", "l2 ↓", "FD ↓"],
        ["two", "3", "1.00", ""],
        ["one", "3", "1.25", "0.0445"],
    ]


def test_differences_are_seed_by_seed_to_the_beta_vae_of_equal_beta(tmp_path):
    """Each seed shifts all methods alike and by much; the difference does not depend on it."""
    comparison = of_table("compare", tmp_path)
    rows = comparison.rows
    of = {
        "beta_vae_0.01": (1, 1, 1),
        "beta_vae_1": (50, 50, 50),
        "lifted": (2, 2.2, 2.4),
        "diffuse_vae": (0.5, 1.2, 1.9),
        "diff_decoder_0.01": (3,),
        "beta_vae_learnt": (70, 70, 70),
        # These two are compared with each other.
        "lifted_synthetic": (30, 31, 32),
        "beta_vae_0.01_synthetic": (20, 20, 20),
        # These also with the ScoreVAE that they correct.
        "score_vae_plus_head": (5, 5, 5),
        "score_vae": (6, 6.5, 7),
        "swapped": (80, 80, 80),
        "lifted_plus": (2.2, 2.1),
    }
    records = [
        record_of(comparison, name, seed=seed, **{"reconstruction/l2": value + 100.0 * seed})
        for name, values in of.items()
        for seed, value in enumerate(values)
    ]
    found = results_of(comparison, records)
    frame = found.frame()
    cells = lambda reference: {
        method: (int(n), text)
        for (_, method), n, text in (
            lambda d: zip(d.mean.index, d.n["reconstruction/l2"], starred(d)["reconstruction/l2"], strict=True)
        )(paired(frame, reference, ["reconstruction/l2"]))
    }
    # Of one seed there is no difference.
    assert cells("rival") == {
        rows["score_vae"].title: (3, "5.50 ± 0.29*"),
        rows["score_vae_plus_head"].title: (3, "4*"),
        rows["lifted"].title: (3, "1.20 ± 0.12*"),
        rows["lifted_plus"].title: (2, "1.150 ± 0.050*"),
        rows["lifted_synthetic"].title: (3, "11.00 ± 0.58*"),
        rows["swapped"].title: (3, "79*"),
        rows["diffuse_vae"].title: (3, "0.20 ± 0.40"),
        rows["beta_vae_learnt"].title: (3, "20*"),
    }
    assert cells("uncorrected") == {
        rows["score_vae_plus_head"].title: (3, "-1.50 ± 0.29*"),
        rows["lifted_plus"].title: (2, "0.05 ± 0.15"),
    }
    # The page has both tables.
    assert [table[0][:4] for table in tables_of(page.lines(found))[-2:]] == [["latents", "method", "seeds", "l2 ↓"]] * 2
    assert paired(frame[frame["row"] == "lifted"], "rival", ["reconstruction/l2"]).mean.empty


def test_over_seeds():
    at = {"latent": 4, "method": "one"}
    runs = [{"a": 1.0, "a_stderr": 9.0}, {"a": 3.0}, {"a": float("nan")}, {"a": float("inf")}, {"b": 1.0}]
    of = lambda some: (lambda s: (s.mean["a"].iloc[0], s.error["a"].iloc[0], s.n["a"].iloc[0]))(
        over_seeds(pd.DataFrame([at | run for run in some]), ["a", "missing"])
    )
    assert of(runs) == (2.0, pytest.approx(np.std([1, 3], ddof=1) / np.sqrt(2)), 2)
    assert of(runs[:1]) == (1.0, 9.0, 1)
    mean, error, n = of(runs[2:])
    assert np.isnan([mean, error]).all()
    assert n == 0


def test_an_error_that_is_rounding_is_not_shown():
    assert cell(3.29048387324096, 3e-16) == "3.29"
    assert cell(3.29, 0.01) == "3.290 ± 0.010"
    assert cell(float("nan"), float("nan")) == ""


def test_the_limit_of_many_decodings():
    """Of an image known up to noise: decodings err by b in common and by v each, and infinitely many by b alone."""
    rng, k, b, v = np.random.default_rng(0), 8, 0.3, 2.0
    common = np.sqrt(b) * rng.standard_normal(100_000)
    one, many = (
        common + np.sqrt(v) * rng.standard_normal(100_000),
        common + np.sqrt(v / k) * rng.standard_normal(100_000),
    )
    assert page.limit(np.mean(one**2), np.mean(many**2), k) == pytest.approx(b, abs=0.02)


def test_the_papers_protocol_tests_a_vae_with_the_posteriors_mean(tmp_path):
    comparison = of_table("compare", tmp_path)
    both = {"reconstruction/l2": 2.0, "reconstruction_of_mean/l2": 1.0}
    records = [
        record_of(comparison, "lifted", **both),
        record_of(comparison, "beta_vae_0.01", method="beta-VAE", **both),
    ]
    frame = page.complete(results_of(comparison, records).frame())
    assert dict(zip(frame["row"], frame["paper/l2"], strict=True)) == {"lifted": 2.0, "beta_vae_0.01": 1.0}


def test_every_column_has_its_direction_or_unit():
    neutral = {
        "KL, nats",
        "NFE",
        "training, s",
        "with the prior, s",
        "active units",
        "total correlation, nats",
        "success before the edit",
    }
    assert {text for text in (IMAGES | LATENTS).values() if not text.endswith(("↑", "↓"))} == neutral
