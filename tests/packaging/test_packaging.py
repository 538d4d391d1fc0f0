"""What an install brings, and what is said where something is missing. `make package` tries the wheel itself."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import sde_vae
from sde_vae import errors
from sde_vae.errors import install_command

ROOT = Path(__file__).parents[2]
SETUP = (ROOT / "setup.py").read_text()
# Imported where the extra is asked for, with a hint if it is missing.
OPTIONAL = {"mlxtend", "python_avatars", "resvg_py", "tensorflow_datasets"}


def imports():
    """The packages that files of sde_vae and configs import, anywhere in a file."""
    for path in [*(ROOT / "sde_vae").rglob("*.py"), *(ROOT / "configs").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module.partition(".")[0]


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_import_is_a_declared_dependency():
    required = SETUP[SETUP.index("install_requires=") : SETUP.index("extras_require=")]
    declared = {normal(name) for name in re.findall(r'"([\w-]+)[^"]*"', required)}
    third = set(imports()) - set(sys.stdlib_module_names) - {"sde_vae"} - OPTIONAL
    installed = packages_distributions()
    missing = {name for name in third if not declared & {normal(d) for d in installed.get(name, [name])}}
    assert not missing


LOCKS = sorted(ROOT.glob("requirements*.lock"))


def locked():
    """(requirement, its hashes) of every line of the lock files."""
    for path in LOCKS:
        for line in path.read_text().replace("\\\n", " ").splitlines():
            if line and not line.startswith("#"):
                requirement, *hashes = line.split("--hash=")
                yield Requirement(requirement), [h.strip() for h in hashes]


def test_every_locked_package_has_one_version_and_hashes():
    for requirement, hashes in locked():
        assert [s.operator for s in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", h) for h in hashes), requirement
    assert "lpips" in {requirement.name for requirement, _ in locked()}


def test_no_lock_names_an_address():
    assert not [path for path in LOCKS if "//" in path.read_text()]


def test_the_lock_files_have_all_that_an_install_asks_for():
    """Else `make`, which installs without dependencies, would leave it out. torchvision is left out on purpose."""
    names = {normal(requirement.name) for requirement, _ in locked()}
    waiting, seen = [("sde_vae", extra) for extra in ("", "test", "dev")], set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen or name == "torchvision":
            continue
        seen.add((name, extra))
        try:
            found = [Requirement(text) for text in distribution(name).requires or []]
        except PackageNotFoundError:
            continue
        for needed in found:
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(normal(needed.name), e) for e in ("", *needed.extras)]
    assert {name for name, _ in seen} - names <= {"sde_vae"}


def test_the_version_is_said_once():
    assert "VERSION" in SETUP
    assert sde_vae.__version__ not in SETUP
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1]
    assert cited == sde_vae.__version__


def test_without_its_dependencies_the_command_says_so_in_one_line():
    """Python without its site-packages, in and outside the clone."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for cwd, where in ((ROOT, r"\."), (ROOT.parent, re.escape(str(ROOT)))):
        done = subprocess.run(
            [sys.executable, "-S", str(ROOT / "main.py"), "--help"],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert re.fullmatch(
            rf"error: \w+ is not installed; activate the environment \(\. \.venv/bin/activate\) or run: pip install -e {where}\n",
            done.stderr,
        )


def test_a_module_of_our_own_that_is_missing_is_a_traceback():
    with pytest.raises(ModuleNotFoundError):
        errors.missing_package(ModuleNotFoundError("No module named 'sde_vae.x'", name="sde_vae.x"))


def test_hints_name_the_clone_by_a_path_that_works_from_here(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert install_command("avatars") == 'pip install -e ".[avatars]"'
    assert install_command() == "pip install -e ."
    monkeypatch.chdir(tmp_path)
    assert install_command("tfds", "tensorflow") == f'pip install -e "{ROOT}[tfds]" tensorflow'


def test_hints_of_an_installed_package_name_what_the_extra_consists_of(monkeypatch, tmp_path):
    """There is no clone, and the package is on no index."""
    found = ["jax<0.12,>=0.10", 'tensorflow-datasets>=4.9.10; extra == "tfds"', 'pillow; extra == "tfds"']
    monkeypatch.setattr(errors, "requires", lambda name: found)
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "sde_vae" / "errors.py"))
    assert install_command("tfds", "tensorflow") == 'pip install "tensorflow-datasets>=4.9.10" pillow tensorflow'
    assert install_command() == 'pip install "jax<0.12,>=0.10"'


def test_no_hint_names_an_index():
    """The package is on none: `pip install sde_vae` would fail, or install something else."""
    texts = [*(ROOT / "sde_vae").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    assert not [path for path in texts if re.search(r"pip install [\"']?sde.vae(?!.*git\+)", path.read_text())]
