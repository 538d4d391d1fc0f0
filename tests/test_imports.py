"""Imports are cheap: what few commands need is imported by them; and the tests are collected where torch is missing."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ["diffrax", "grain", "matplotlib", "pandas", "scipy.stats", "sklearn", "tensorboardX", "torch"]


@pytest.mark.parametrize(
    ("line", "without"),
    [
        ("import sde_vae", ["jax", "numpy", *HEAVY]),
        ("import sde_vae.cli", ["jax", *HEAVY]),
        ("import sde_vae; sde_vae.load, sde_vae.train", HEAVY),
    ],
)
def test_what_few_need_is_imported_late(line, without):
    code = f"import json, sys\n{line}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not set(without) & set(json.loads(done.stdout))


TORCH = {"torch", "diffusers"}
ROOT = Path(__file__).parents[1]


def imported(path):
    """Yield the modules that a file imports at its top, and "asked" where it asks for torch."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif "importorskip('torch')" in ast.unparse(node):
            yield "asked"


def test_torch_is_asked_for_before_it_is_imported():
    """Where it is missing, a test that compares with it is skipped: an import at the top of its file would end the whole run."""
    files = {
        path: list(imported(path)) for part in ("tests", "benchmarks") for path in ROOT.joinpath(part).rglob("*.py")
    }
    bare = {path: names for path, names in files.items() if "asked" not in names}
    need: set[str] = set()
    for _ in range(3):  # a benchmark that imports one that imports torch
        need |= {
            ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for path, names in bare.items()
            if path.is_relative_to(ROOT / "benchmarks") and any(n in need or n.split(".")[0] in TORCH for n in names)
        }
    assert "benchmarks.speed.torch_twin" in need
    for path, names in files.items():
        if path.is_relative_to(ROOT / "tests"):
            before = names[: names.index("asked")] if "asked" in names else names
            assert not [n for n in before if n in need or n.split(".")[0] in TORCH], path


# What begins a run of the tests, before any of them.
BEGIN = {ROOT / "tests/conftest.py"}


def test_an_import_changes_no_other_module():
    """Every file is imported when tests are collected: an attribute set there would hold for all other tests."""
    for path in {*ROOT.glob("tests/**/*.py")} - BEGIN:
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            changed = [part for t in targets if t for part in ast.walk(t) if isinstance(part, ast.Attribute)]
            assert not changed, f"{path}: {ast.unparse(node)}"
