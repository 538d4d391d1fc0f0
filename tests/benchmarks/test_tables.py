"""The tables of README and docs: generated, and not stale; the results stay small."""

import json

import pytest

from benchmarks import tables
from benchmarks.comparison.statistics import interval
from benchmarks.demo import demo
from benchmarks.record import RESULTS, as_json, rounded
from sde_vae.errors import BadInput

NAME = "solvers_digits"


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(
        f"before\n<!-- table: {NAME} -->\n<!-- /table -->\nbetween\n<!-- table: {NAME} -->\nold\n<!-- /table -->\nafter\n"
    )
    return path


@pytest.mark.parametrize("name", tables.TABLES)
def test_every_table_is_made_and_narrow(name):
    head, rule, *lines = tables.region(name, tables.ROOT / "docs" / "a.md").splitlines()
    columns = head.count(" | ") + 1
    assert 4 <= columns <= 8
    assert rule == "| " + " | ".join(["---"] * columns) + " |"
    rows = lines[: lines.index("")]
    assert len(rows) >= 2
    assert all(row.replace("\\|", "").count("|") == columns + 1 for row in rows)
    assert "(../benchmarks/results/" in lines[-1]


def test_regions_are_filled_and_then_fresh(document, capsys):
    assert tables.check([document]) == 1
    assert f"{document}: the table {NAME} is not" in capsys.readouterr().err
    document.write_text(tables.filled(document))
    assert document.read_text().startswith(f"before\n<!-- table: {NAME} -->\n| solver |")
    assert document.read_text().endswith("<!-- /table -->\nafter\n")
    assert "between" in document.read_text()
    assert tables.check([document]) == 0
    document.write_text(document.read_text().replace("0.7", "0.8"))
    assert tables.check([document]) == 1


def test_a_page_without_regions_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("nothing\n")
    assert tables.check([tmp_path / "README.md"]) == 0
    assert tables.filled(tmp_path / "README.md") == "nothing\n"


def test_a_wrong_region_is_named(tmp_path, capsys):
    path = tmp_path / "README.md"
    path.write_text("<!-- table: none -->\n<!-- /table -->\n")
    with pytest.raises(BadInput, match=r"unknown name 'none'; known: .*comparison_digits"):
        tables.filled(path)
    path.write_text(f"<!-- table: {NAME} -->\n")
    with pytest.raises(BadInput, match="a region is not closed"):
        tables.filled(path)
    assert tables.check([path]) == 2
    assert "not closed" in capsys.readouterr().err


def test_the_committed_tables_are_fresh():
    assert tables.check(tables.pages()) == 0


def test_an_interval_is_bold_where_it_excludes_0():
    assert interval(-0.1921, 0.0702) == "**-0.192 [-0.262, -0.122]**"
    assert interval(0.5, 12.3) == "0 [-12, 13]"
    assert interval(0.5, float("nan")) == ""


def test_results_stay_small():
    files = [path for path in RESULTS.rglob("*") if path.is_file()]
    assert len(files) <= 90
    assert sum(path.stat().st_size for path in files) <= 2.2e6


def test_json_has_an_element_a_line_and_eight_digits():
    value = rounded({"a": 1 / 3, "b": [{"c": (1, 2.0)}, {"c": float("nan")}], "n": 123456789})
    assert as_json(value, 2) == '{\n"a": 0.33333333,\n"b": [\n{"c":[1,2.0]},\n{"c":null}\n],\n"n": 123456789\n}'
    assert json.loads(as_json(value, 2)) == value


def test_the_demo_needs_an_evaluation(tmp_path):
    with pytest.raises(BadInput, match=r"has no eval/metrics\.json"):
        demo(tmp_path, "demo")
