"""What surrounds the step: bytes moved, compilations, seconds to the third step, evaluation, memory and start-up.

    python -m benchmarks.speed.overhead [--before CLONE] [--only moved train evaluation memory start] [--rounds 1]

Measures the code of this clone and, in turn with it, that of another clone. Every measurement runs in a process of its own, from a
compilation cache that begins empty; figures are medians over the rounds. Nothing else should run on the machine.
"""

import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from benchmarks.arguments import parser_of
from benchmarks.record import record

ROOT = Path(__file__).parent.parent.parent
PROBE = Path(__file__).parent / "probe.py"
MODES, DEVICES = ("pmap", "data", "fsdp"), (1, 8)
TRANSFER = re.compile(r"transfer: aval=ShapedArray\([a-z]+(\d+)\[([\d,]*)\]")
# Steps of the two runs whose difference counts what a step moves, and of the one that is timed.
SHORT, LONG, TIMED = "4", "14", "40"
IMPORTS = {
    "import jax, flax, optax": "import jax, flax, optax",
    "import sde_vae": "import sde_vae",
    "sde_vae.train": "import sde_vae; sde_vae.train",
    "sde_vae.load": "import sde_vae; sde_vae.load",
}
NOTES = """Seconds count from the start of Python.

The frozen prior is celeba64's. The method that takes it reads one number of each array, and its batch has 128 bytes. JAX logs
transfers, from which the megabytes are summed; of host arrays that are arguments on a single device it logs none. Under `fsdp` a
step gathers the frozen prior from all devices, which the log does not list: 8 devices are simulated on this processor.
A step at batch 2 holds arguments, results and intermediates, as the compiled program accounts for them."""
Figures = dict[str, float]


class Code:
    """A clone that is measured, and a folder for its runs and caches."""

    def __init__(self, clone: Path, folder: Path):
        self.clone, self.folder = clone, folder
        folder.mkdir()

    def run(self, *words: str, **environment: str) -> tuple[subprocess.CompletedProcess, float]:
        """Run Python with these words: what it returned, and its seconds. Raises RuntimeError, with the end of its output, if it fails."""
        env = os.environ | {"PYTHONPATH": str(self.clone)} | environment
        begin = time.perf_counter()
        found = subprocess.run([sys.executable, *words], cwd=self.clone, env=env, capture_output=True, text=True)
        if found.returncode:
            raise RuntimeError(f"{' '.join(words)}: exit code {found.returncode}\n{found.stderr[-2000:]}")
        return found, time.perf_counter() - begin

    def probe(self, *words: str, **environment: str) -> tuple[dict[str, Any], str]:
        """Return (what probe.py measured, its stderr)."""
        found, _ = self.run(str(PROBE), *words, **environment)
        return json.loads(found.stdout.splitlines()[-1]), found.stderr


# Case(code) -> figures; the cases of a task run in their order.
Case = Callable[[Code], Figures]


def moved() -> Iterator[Case]:
    """Megabytes and milliseconds a step, the batch of 128 bytes included, with CelebA's prior frozen."""
    for devices in DEVICES:
        for mode in MODES:

            def case(code: Code, devices: int = devices, mode: str = mode) -> Figures:
                flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
                guard = flags | {"JAX_TRANSFER_GUARD": "log_explicit"}
                short, long = (
                    sum(map(size, TRANSFER.findall(code.probe("frozen", mode, steps, **guard)[1])))
                    for steps in (SHORT, LONG)
                )
                name = f"frozen prior of 210 MB, {mode}, {devices} device{'s' * (devices > 1)}"
                return {
                    f"{name}: MB moved a step": (long - short) / (int(LONG) - int(SHORT)) / 1e6,
                    f"{name}: ms a step": code.probe("frozen", mode, TIMED, **flags)[0]["ms"],
                }

            yield case


def size(transfer: tuple[str, str]) -> int:
    """Return the bytes of a transfer, as it is logged: float32[3,4] has 48."""
    bits, shape = transfer
    return int(np.prod([int(n) for n in shape.split(",") if n], dtype=np.int64)) * int(bits) // 8


def train() -> Iterator[Case]:
    """Compilations of the step, and seconds from the start of Python to the third step of the prior."""
    for name in ("digits", "celeba64"):
        for how, workdir in (("cold", "a"), ("warm cache", "b"), ("resumed", "b")):

            def case(code: Code, name: str = name, how: str = how, workdir: str = workdir) -> Figures:
                changes = {"stages.prior.preview_every": 0, "data.cache": str(code.folder / "data")}
                if name == "celeba64":
                    changes |= {"data.name": "folder", "data.dir": str(pictures(code.folder)), "data.crop": 0}
                    changes |= {"stages.prior.batch_size": 2}
                cache = {"JAX_COMPILATION_CACHE_DIR": str(code.folder / f"cache_{name}")}
                run = str(code.folder / f"{name}_{workdir}")
                if how == "cold":
                    forget(code.folder, f"cache_{name}", f"{name}_a", f"{name}_b")
                got, _ = code.probe("train", f"scorevae_{name}", json.dumps(changes), run, **cache)
                wanted = {
                    "seconds to the third step": "seconds",
                    "compilations of the step": "updates",
                    "seconds compiling": "compiling",
                }
                return {f"{name}, {how}: {title}": got[key] for title, key in wanted.items()}

            yield case


def pictures(folder: Path) -> Path:
    """Return a folder of noise at CelebA's size."""
    made = folder / "pictures"
    if not made.exists():
        made.mkdir()
        for i, x in enumerate(np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)):
            Image.fromarray(x).save(made / f"{i}.png")
    return made


def evaluation() -> Iterator[Case]:
    """Seconds of an evaluation of the demo's run, and megabytes of the cache."""
    for how, seed in (("cold", 0), ("again", 0), ("another seed", 1)):

        def case(code: Code, how: str = how, seed: int = seed) -> Figures:
            if how == "cold":
                forget(code.folder, "cache_evaluation")
            workdir = trained(code, seed)
            shutil.rmtree(workdir / "eval", ignore_errors=True)
            cache = code.folder / "cache_evaluation"
            words = ("main.py", "--mode", "eval", "--workdir", str(workdir))
            _, seconds = code.run(*words, JAX_COMPILATION_CACHE_DIR=str(cache))
            held = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
            return {f"evaluation, {how}: seconds": seconds, f"evaluation, {how}: MB in the cache": held / 1e6}

        yield case


def trained(code: Code, seed: int) -> Path:
    """Return a run of the demo's config that has trained for a few steps."""
    workdir = code.folder / f"seed_{seed}"
    if not workdir.exists():
        fields = [f"stages.{stage}.{field}" for stage in ("prior", "encoder") for field in ("steps", "preview_every")]
        few = [f"--config.{field}=20" for field in fields]
        words = ("main.py", "--mode", "train", "--config", "configs/scorevae_digits.py", "--workdir", str(workdir))
        code.run(*words, f"--config.seed={seed}", *few, JAX_COMPILATION_CACHE_DIR=str(code.folder / "cache_training"))
    return workdir


def forget(folder: Path, *names: str) -> None:
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)


def memory() -> Iterator[Case]:
    """The most that a step of celeba64 at batch 2 holds, as the compiled program accounts for it: of this code's update."""

    def case(code: Code) -> Figures:
        got = code.probe("memory", "scorevae_celeba64", "2")[0]
        return {"celeba64, state: MB": got["state"] / 1e6, "celeba64, a step at batch 2: MB": got["peak"] / 1e6}

    yield case


def start() -> Iterator[Case]:
    """CPU seconds of imports and of --help."""
    commands = {name: ("-c", line) for name, line in IMPORTS.items()} | {"--help": ("main.py", "--help")}
    for name, words in commands.items():

        def case(code: Code, name: str = name, words: tuple[str, str] = words) -> Figures:
            return {f"{name}: CPU seconds": statistics.median(cpu_seconds(code, *words) for _ in range(5))}

        yield case


def cpu_seconds(code: Code, *words: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code.run(*words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


TASKS = {"moved": moved, "train": train, "evaluation": evaluation, "memory": memory, "start": start}


def measure(codes: dict[str, Code], tasks: list[str], rounds: int) -> dict[str, Figures]:
    """Return column -> figures, the columns measured in turn."""
    found: dict[str, dict[str, list[float]]] = {column: {} for column in codes}
    cases = [(task, case) for task in tasks for _ in range(rounds) for case in TASKS[task]()]
    for task, case in tqdm(cases, unit="measurement"):
        for column, code in codes.items():
            for name, value in case(code).items():
                found[column].setdefault(name, []).append(value)
                tqdm.write(f"{task}  {column}  {name}  {value:.4g}")
    return {column: {name: statistics.median(v) for name, v in of.items()} for column, of in found.items()}


def main() -> None:
    parser = parser_of("benchmarks.speed.overhead", __doc__)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    clones = ({"before": options.before.resolve()} if options.before else {}) | {"now": ROOT}
    with tempfile.TemporaryDirectory() as folder:
        codes = {column: Code(clone, Path(folder) / column) for column, clone in clones.items()}
        found = measure(codes, options.only, options.rounds)
    command = "python -m benchmarks.speed.overhead" + (" --before CLONE" if options.before else "")
    write(found, options.rounds, command=command)


def write(found: dict[str, Figures], rounds: int, **facts: Any) -> None:
    """Write the results and their page."""
    rows = [[name, *(f"{of[name]:.4g}" for of in found.values())] for name in found["now"]]
    notes = f"Medians of {rounds} round{'s' * (rounds > 1)}, the columns in turn. {NOTES}"
    record("overhead", "What surrounds the step", found, ["", *found], rows, notes, **facts)


if __name__ == "__main__":
    main()
