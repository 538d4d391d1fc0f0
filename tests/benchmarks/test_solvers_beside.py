"""Two results of the benchmark of the solvers side by side: evaluations to equal quality."""

import json

from benchmarks.record import RESULTS
from benchmarks.solvers import beside as module
from benchmarks.solvers.beside import beside


def row(solver, nfe, l2, grid="edm"):
    values = {"l2": l2, "lpips_alex": l2, "fd": l2}
    return {"solver": solver, "grid": grid, "nfe": nfe, **values, **{f"{metric}_stderr": 0.1 for metric in values}}


def result(reference, rows):
    reference = row("euler_maruyama", 1001, reference) | {"steps": 1000}
    return {"n": 128, "split": "valid", "seeds": 2, "fd": "fd_pixels", "reference": reference, "rows": rows}


def test_each_run_is_held_against_its_own_reference_and_the_first_ones(tmp_path, monkeypatch):
    one = result(1.0, [row("ddim", 5, 3.0), row("ddim", 20, 1.05), row("ancestral", 10, 1.2)])
    # Its own reference is better; `ode` and a grid of its own are not compared.
    two = [row("ddim", 5, 1.1), row("ddim", 20, 0.6), row("ode", 1, 0.5), row("ddim", 2, 0.5, "uniform_t")]
    failed = {"solver": "ancestral", "grid": "edm", "nfe": 5, "not_finite": 1}
    for name, found in {"one": one, "two": result(0.5, [*two, failed])}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"figures": found}))
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    (head, *rows), caption = beside({"one": "VP", "two": "flow"}, "two")
    assert head[1:] == ["prior", "reference", "NFE to equal it", "NFE to equal that of VP", "best, NFE ≤ 10"]
    assert [r[:2] for r in rows[:2]] == [["l2 ↓", "VP"], ["l2 ↓", "flow"]]
    assert rows[0][3:5] == ["20 (`ddim`)", "20 (`ddim`)"]
    assert rows[0][5].endswith("(`ancestral`)")
    assert rows[1][3:5] == ["20 (`ddim`)", "5 (`ddim`)"]
    assert [r[0] for r in rows[2:]] == ["lpips_alex ↓"] * 2 + ["fd_pixels ↓"] * 2
    assert "128 images of the split valid" in caption


def test_alone_it_is_what_the_result_says():
    found = json.loads((RESULTS / "solvers_digits.json").read_text())["figures"]
    (_, *rows), _ = beside({"solvers_digits": "VP"}, "solvers_digits")
    for line, metric in zip(rows, ("l2", "lpips_alex", "fd"), strict=True):
        at = found["nfe_equal_to_em1000_by_metric"][metric]
        assert line[3] == line[4] == f"{at['nfe']} (`{at['solver']}`)"
