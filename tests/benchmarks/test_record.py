"""The command that a page of results names is the one that makes it again."""

import sys

import pytest

from benchmarks import record


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
