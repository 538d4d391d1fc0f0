"""The house keeps its floors: imports go down only."""

import ast
import builtins
import dis
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [
    ("errors", "types", "arrays"),
    ("gaussians", "sdes", "transitions", "latent_ops"),
    ("scores", "estimators"),
    ("losses", "penalties", "solvers", "bounds"),
    ("nets",),
    ("method", "methods"),
    (
        "train_state",
        "parallel",
        "checkpoints",
        "logs",
        "platform",
        "streaming",
        "parts",
        "pictures",
        "pretrained",
        "data",
        "metrics",
        "workdir",
    ),
    ("train", "draws", "evaluate", "evaluators", "report", "tables", "experiment"),
    ("build", "build_eval", "build_methods", "build_nets", "build_objectives", "build_sampling"),
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
FILES = sorted((ROOT / "sde_vae").rglob("*.py"))


def imported(path):
    """The first names under sde_vae that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
    parts = path.relative_to(ROOT / "sde_vae").with_suffix("").parts
    if parts[-1] == "__init__":
        assert not list(imported(path)), "an __init__.py imports nothing"
        return
    names = [name.split(".")[1] for name in imported(path) if name.startswith("sde_vae.")]
    above = [name for name in names if FLOOR_OF[name] > FLOOR_OF[parts[0]]]
    assert not above, f"{path} imports {above} from a higher floor"


def test_only_the_networks_import_flax():
    users = {p.relative_to(ROOT / "sde_vae").parts[0] for p in FILES if any(n.startswith("flax") for n in imported(p))}
    assert users == {"nets"}


def test_only_build_reads_config():
    users = [p.name for p in FILES if any(n.startswith("ml_collections") for n in imported(p))]
    assert users == [
        "build.py",
        "build_eval.py",
        "build_methods.py",
        "build_nets.py",
        "build_objectives.py",
        "build_sampling.py",
    ]


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("sde_vae/**/*.py"), *ROOT.glob("benchmarks/*.py"), ROOT / "main.py"])
)
def test_no_function_reads_a_name_that_its_module_lacks(path):
    """What a linter would find, if jaxtyping's shapes were not undefined names to it too."""
    module = compile(path.read_text(), str(path), "exec")
    has = {i.argval for i in dis.get_instructions(module) if i.opname in ("STORE_NAME", "STORE_GLOBAL")}
    reads = {i.argval for code in nested(module) for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    assert not reads - has - set(dir(builtins)) - {"__file__", "__name__", "__doc__"}


def nested(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from nested(constant)
