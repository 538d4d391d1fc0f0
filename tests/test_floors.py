"""The house keeps its floors: imports go down only, and what is said in two places is the same."""

import ast
import builtins
import dis
import re
import types
from pathlib import Path

import pytest

from sde_vae.build import fields
from sde_vae.build.correctors import CORRECTORS, SHIFTERS, SHIFTS
from sde_vae.build.evaluation import EVALUATORS
from sde_vae.build.methods import INPUTS, LOG_DENSITIES, METHODS
from sde_vae.build.metric_networks import EXTRACTORS
from sde_vae.build.nets import DTYPES, PRIOR_BODIES
from sde_vae.build.objectives import PREDICTIONS, TIMES, WEIGHTS
from sde_vae.build.sampling import GRIDS, INVERTERS, SOLVERS
from sde_vae.build.sdes import SDES
from sde_vae.build.stages import DECAYS
from sde_vae.build.tasks import TASKS
from sde_vae.data.io.decode import FILTERS
from sde_vae.data.io.fit import FITS
from sde_vae.errors import BadInput
from sde_vae.metrics.networks.lpips_weights import NETS
from sde_vae.training.parallel import parallelise
from sde_vae.training.workdir import STAGES

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sde_vae"
# From the ground to the roof. Decoding to images and the encoding of data sets take the pixel conversions of data/, so data/, metrics/
# and pretrained/ stand below inference/ and training/.
FLOORS = [
    ("printing", "errors", "types", "arrays", "devices", "runtime", "hosts", "keys", "files", "keyed_folder"),
    ("diffusion",),
    ("solvers", "bounds"),
    ("nets",),
    ("methods",),
    ("data", "metrics", "pretrained"),
    ("inference",),
    ("training",),
    ("evaluators", "reporting"),
    ("build",),
    ("run",),
    ("commands",),
    ("cli",),
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
FILES = sorted(PACKAGE.rglob("*.py"))
TABLES = {
    "method": METHODS,
    "sde.name": SDES,
    "model.prediction": PREDICTIONS,
    "model.dtype": DTYPES,
    "model.prior.body": PRIOR_BODIES,
    "model.encoder.input": INPUTS,
    "model.correction.body": CORRECTORS,
    "model.shift.body": SHIFTERS,
    "model.shift.output": SHIFTS,
    "task.name": TASKS,
    "loss.log_density": LOG_DENSITIES,
    "optim.decay": DECAYS,
    "sampling.solver": SOLVERS,
    "sampling.inverter": INVERTERS,
    "sampling.grid": GRIDS,
    "eval.evaluators": EVALUATORS,
    "eval.extractor": EXTRACTORS,
    "eval.lpips": NETS,
    **{f"stages.{stage}.weight": WEIGHTS for stage in STAGES},
    **{f"stages.{stage}.times": TIMES for stage in STAGES},
}


def name_of(path):
    """sde_vae/build/nets.py -> build/nets"""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def imported(path):
    """The dotted names that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def users_of(package):
    return {path for path in FILES if any(name.split(".")[0] == package for name in imported(path))}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if path.stem == "__init__":
        assert path.parent == PACKAGE or not list(imported(path)), "an __init__.py below the top imports nothing"
        return
    above = [n for n in imported(path) if n.startswith("sde_vae.") and FLOOR_OF[n.split(".")[1]] > FLOOR_OF[room]]
    assert not above, f"{path} imports {above} from a higher floor"


def test_every_room_has_a_floor_and_every_floor_its_rooms():
    rooms = {p.stem for p in PACKAGE.glob("*.py")} | {p.name for p in PACKAGE.iterdir() if any(p.glob("**/*.py"))}
    assert rooms - {"__init__"} == set(FLOOR_OF)


def test_the_root_holds_a_dozen_files_at_most():
    assert len(list(PACKAGE.glob("*.py"))) <= 12


def test_no_file_is_called_utils():
    folders = ("sde_vae", "configs", "tests", "benchmarks", "notebooks")
    assert not [path for folder in folders for path in (ROOT / folder).rglob("util*.py")]


def test_only_networks_import_flax():
    assert {path.parent.relative_to(PACKAGE).as_posix() for path in users_of("flax")} == {"nets", "metrics/networks"}


def test_only_build_and_the_roof_read_config():
    users = {name_of(path) for path in users_of("ml_collections")}
    assert {name for name in users if not name.startswith("build/")} == {"run", "commands/train", "cli"}


@pytest.mark.parametrize("name", TABLES)
def test_the_choices_of_a_field_are_those_of_its_builder(name):
    assert sorted(dict(fields.walk())[name].allowed.names) == sorted(TABLES[name])


def test_the_choices_of_the_other_fields():
    """The splits are those of data sets. Filters and ways to run over devices have no table in build/."""
    of = {name: field.allowed.names for name, field in fields.walk() if field.allowed.names and name not in TABLES}
    assert set(of) == {"parallel", "data.filter", "data.fit", "eval.split", "model.precision"}
    assert of["data.fit"] == FITS
    assert set(of["data.filter"]) <= set(FILTERS)
    with pytest.raises(BadInput, match="known: ") as error:
        parallelise(lambda axis: None, "none of them", 8, [])
    assert str(error.value).partition("known: ")[2] == ", ".join(sorted(of["parallel"]))


def test_the_stages_are_the_same_everywhere():
    assert tuple(fields.FIELDS["stages"]) == fields.STAGES == STAGES


def test_imports_in_docs_and_benchmarks_are_of_modules_that_exist():
    """`sde_vae.diffusion.sdes` in a page or a script is a module, or a name in one."""
    places = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.rglob("benchmarks/**/*.py"),
        *ROOT.glob("configs/*.py"),
    ]
    for place in places:
        for found in re.findall(r"(?:from|import) sde_vae((?:\.\w+)+)", place.read_text()):
            path = PACKAGE.joinpath(*found[1:].split("."))
            assert path.is_dir() or path.with_suffix(".py").is_file() or path.parent.with_suffix(".py").is_file(), place


@pytest.mark.parametrize(
    "path",
    [*FILES, *sorted(ROOT.glob("benchmarks/**/*.py")), ROOT / "main.py"],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
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
