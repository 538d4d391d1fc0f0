"""What surrounds the step: bytes moved, compilations, seconds to the third step, evaluation, memory and start-up.

    python -m benchmarks.speed.overhead [--code CLONE --column NAME] [--only moved train eval memory start]

Measures the code of this clone, or of another one, which fills a column of its own. Results accumulate in overhead.json. Every
measurement runs in a process of its own, and every compilation cache begins empty. Nothing else should run on the machine.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.record import RESULTS, record

ROOT = Path(__file__).parent.parent.parent
PROBE = Path(__file__).parent / "probe.py"
MODES, DEVICES = ("pmap", "data", "fsdp"), (1, 8)
TRANSFER = re.compile(r"transfer: aval=ShapedArray\(([a-z]+)(\d*)\[([\d,]*)\].*?dst_sharding=(\w+)")
BITS = {"bool": 8, "key": 64}
# Steps of the two runs whose difference counts what a step moves.
SHORT, LONG = 4, 14
IMPORTS = {
    "import jax, flax, optax": "import jax, flax, optax",
    "import sde_vae": "import sde_vae",
    "sde_vae.train": "import sde_vae; sde_vae.train",
    "sde_vae.load": "import sde_vae; sde_vae.load",
}


class Code:
    """A clone to measure, and how to run its programs."""

    def __init__(self, clone: Path):
        self.clone = clone

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess:
        """Run Python with these words. Raises RuntimeError, with the end of its output, if it fails."""
        env = os.environ | {"PYTHONPATH": str(self.clone)} | environment
        found = subprocess.run([sys.executable, *words], cwd=self.clone, env=env, capture_output=True, text=True)
        if found.returncode:
            raise RuntimeError(f"{' '.join(words)}: exit code {found.returncode}\n{found.stderr[-2000:]}")
        return found

    def probe(self, *words: str, **environment: str) -> tuple[dict[str, Any], str]:
        """Return (what probe.py measured, its stderr)."""
        found = self.run(str(PROBE), *words, **environment)
        return json.loads(found.stdout.splitlines()[-1]), found.stderr

    def seconds(self, *words: str, **environment: str) -> float:
        begin = time.perf_counter()
        self.run(*words, **environment)
        return time.perf_counter() - begin


def moved(code: Code, folder: Path) -> dict[str, float]:
    """Return bytes and milliseconds a step with CelebA's prior frozen, by mode and number of devices; the batch is 128 bytes."""
    found = {}
    for devices in DEVICES:
        flags = f"--xla_force_host_platform_device_count={devices}"
        for mode in MODES:
            timed, _ = code.probe("frozen", mode, "40", XLA_FLAGS=flags)
            logs = [
                code.probe("frozen", mode, str(n), XLA_FLAGS=flags, JAX_TRANSFER_GUARD="log_explicit")[1]
                for n in (SHORT, LONG)
            ]
            short, long = (sum(map(size, TRANSFER.findall(log))) for log in logs)
            found[f"{mode}, {devices} devices, MB a step"] = (long - short) / (LONG - SHORT) / 1e6
            found[f"{mode}, {devices} devices, ms a step"] = timed["ms"]
    return found


def size(transfer: tuple[str, str, str, str]) -> int:
    """Return the bytes of a transfer, as it is logged."""
    kind, bits, shape, _ = transfer
    return int(np.prod([int(n) for n in shape.split(",") if n], dtype=np.int64)) * (BITS.get(kind) or int(bits)) // 8


def train(code: Code, folder: Path) -> dict[str, float]:
    """Return compilations of the step, and seconds to the third step of the prior: cold, with a warm cache, and resumed."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for i, x in enumerate(np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)):
        Image.fromarray(x).save(pictures / f"{i}.png")
    none = {"stages.prior.preview_every": 0, "data.cache": str(folder / "data")}
    celeba = {"data.name": "folder", "data.dir": str(pictures), "data.crop": 0, "stages.prior.batch_size": 2}
    found = {}
    for name, changes in (("digits", none), ("celeba64", none | celeba)):
        cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / f"cache_{name}")}
        asked = json.dumps(changes)
        for how, workdir in (("cold", "a"), ("warm", "b"), ("resumed", "b")):
            got, _ = code.probe("train", f"scorevae_{name}", asked, str(folder / f"{name}_{workdir}"), **cache)
            print(name, how, got, flush=True)
            found |= {
                f"{name}, {how}, {what}": got[what]
                for what in ("seconds", "compilations of the step", "compile seconds", "MB")
            }
    return found


def evaluate(code: Code, folder: Path) -> dict[str, float]:
    """Return seconds of an evaluation of the demo's run: cold, again, and of a run with another seed; and the megabytes in the cache."""
    cache = folder / "cache_eval"
    main, env = str(code.clone / "main.py"), {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    few = [
        f"--config.stages.{stage}.{field}=20" for stage in ("prior", "encoder") for field in ("steps", "preview_every")
    ]
    for seed in (0, 1):
        words = ["--config", str(code.clone / "configs/scorevae_digits.py"), "--workdir", str(folder / f"seed_{seed}")]
        code.run(
            main,
            "--mode",
            "train",
            *words,
            f"--config.seed={seed}",
            *few,
            JAX_COMPILATION_CACHE_DIR=str(folder / "cache_train"),
        )
    found = {}
    for how, seed in (("cold", 0), ("again", 0), ("another seed", 1)):
        workdir = folder / f"seed_{seed}"
        shutil.rmtree(workdir / "eval", ignore_errors=True)
        found[f"evaluation, {how}, seconds"] = code.seconds(main, "--mode", "eval", "--workdir", str(workdir), **env)
        found[f"evaluation, {how}, MB in the cache"] = (
            sum(f.stat().st_size for f in cache.rglob("*") if f.is_file()) / 1e6
        )
        print(found, flush=True)
    return found


def memory(code: Code, folder: Path) -> dict[str, float]:
    """Return the most bytes that a step of celeba64 at batch 2 holds, by the compiled program's own account, in MB."""
    got, _ = code.probe("memory", "scorevae_celeba64", "2")
    return {f"memory, {name}, MB": value / 1e6 for name, value in got.items()}


def start(code: Code, folder: Path) -> dict[str, float]:
    """Return CPU seconds of imports and of --help, the median of five."""
    commands = {name: ("-c", line) for name, line in IMPORTS.items()} | {"--help": ("main.py", "--help")}
    return {
        f"start, {name}, CPU s": float(np.median([cpu(code, *words) for _ in range(5)]))
        for name, words in commands.items()
    }


def cpu(code: Code, *words: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code.run(*words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


TASKS = {"moved": moved, "train": train, "eval": evaluate, "memory": memory, "start": start}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--code", type=Path, default=ROOT)
    parser.add_argument("--column", default="now")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    options = parser.parse_args()
    code = Code(options.code.resolve())
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            keep(options.column, TASKS[name](code, Path(folder)))


def keep(column: str, found: dict[str, float]) -> None:
    """Add figures to a column of the results."""
    path = RESULTS / "overhead.json"
    columns = json.loads(path.read_text())["figures"] if path.exists() else {}
    columns[column] = columns.get(column, {}) | found
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    rows = [[name, *(f"{column[name]:.4g}" if name in column else "" for column in columns.values())] for name in names]
    record("overhead", "What surrounds the step", columns, ["", *columns], rows, __doc__.splitlines()[0])


if __name__ == "__main__":
    main()
