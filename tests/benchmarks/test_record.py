"""The command that a page of results names is the one that makes it again."""

import sys

import pytest

from benchmarks import record
from benchmarks.faults import record as faults


@pytest.mark.parametrize(
    ("program", "words", "expected"),
    [
        ("benchmarks/demo.py", ["--name", "x y"], "python -m benchmarks.demo --name 'x y'"),
        ("benchmarks/solvers/__main__.py", ["--nfe", "5"], "python -m benchmarks.solvers --nfe 5"),
        ("benchmarks/demo.py", ["--workdir", "/somewhere/run"], "python -m benchmarks.demo --workdir run"),
    ],
)
def test_the_command_of_a_benchmark(monkeypatch, program, words, expected):
    monkeypatch.setattr(sys, "argv", [str(record.ROOT / program), *words])
    assert record.command() == expected


def test_of_another_program_it_is_the_packages(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pytest"])
    assert record.command() == "from Python"


def test_a_page_of_faults_names_the_arguments_of_each_section(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(faults, "RESULTS", tmp_path)
    for section, words in (("mutants", ["--per-file", "1"]), ("config_walk", ["--only", "seed"])):
        monkeypatch.setattr(sys, "argv", [str(record.ROOT / "benchmarks" / "faults" / f"{section}.py"), *words])
        faults.record_section(section, section, ["a"], [["1"]], "Notes.", {})
    page = (tmp_path / "faults.md").read_text()
    made = ["config_walk --only seed", "mutants --per-file 1"]
    assert [line.split("`")[1] for line in page.splitlines() if line.startswith("Made by")] == [
        f"python -m benchmarks.faults.{command}" for command in made
    ]
