"""What faults are injected into: a tiny run that was never disturbed, copies of it, commands on them, and the comparison with it."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sde_vae import cli
from sde_vae.training import logs
from sde_vae.training.description import read_description, steps

ROOT = Path(__file__).parent.parent.parent
STEPS = 4
FIELDS: dict[str, Any] = {
    **{
        f"model.{net}.{k}": v for net in ("prior", "encoder") for k, v in {"channels": 4, "multipliers": "(1,)"}.items()
    },
    "model.latent_dim": 2,
    **{f"stages.{stage}.steps": STEPS for stage in ("prior", "encoder")},
    **{f"stages.{stage}.checkpoint_every": 2 for stage in ("prior", "encoder")},
    **{f"stages.{stage}.log_every": 1 for stage in ("prior", "encoder")},
    **{f"stages.{stage}.warmup": 1 for stage in ("prior", "encoder")},
    "synthetic.n": 8,
    "sampling.steps": 2,
    "optim.decay": "constant",
    "eval.n": 8,
    "eval.samples": 8,
    "eval.batch_size": 4,
    "eval.lpips": "None",
    "eval.extractor": "none",
    "eval.evaluators": "(reconstruction,samples)",
}
# Of a metric that the clock decides.
CLOCK = ("seconds", "steps_per_second")


class Outcome(NamedTuple):
    """The exit code of a command, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def refused(self) -> bool:
        """Whether it ended with exit code 2 and one line, or 1 and one line for what could not be written."""
        errors = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return self.code in (1, 2) and len(errors) == 1 and "Traceback" not in self.err

    @property
    def said(self) -> bool:
        """Whether something was said of what was left out or made again."""
        return any(word in self.out + self.err for word in ("skipping", "damaged", "made again", "left out", "note: "))


def words(mode: str, workdir: Path, **changes: Any) -> list[str]:
    """The arguments of a command on the tiny config. A field is written with __ for a dot."""
    fields = FIELDS | {name.replace("__", "."): value for name, value in changes.items()}
    given = [f"--config.{name}={value}" for name, value in fields.items()]
    return ["--config", str(ROOT / "configs" / "scorevae_digits.py"), "--mode", mode, "--workdir", str(workdir), *given]


def command(mode: str, workdir: Path, **changes: Any) -> Outcome:
    """Run a command in this process. Any other exception than those of the command line is a traceback in `err`."""
    return main(words(mode, workdir, **changes))


def main(arguments: list[str]) -> Outcome:
    """Run the command line in this process, with any warning as a line of `err`."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(record=True) as found,
    ):
        warnings.simplefilter("always")
        try:
            code = cli.main(arguments)
        except Exception:
            traceback.print_exc()
            code = 1
    return Outcome(code, out.getvalue(), err.getvalue() + "".join(f"warning: {w.message}\n" for w in found))


def struck(number: str, at: int, mode: str, workdir: Path, **changes: Any) -> Outcome:
    """Run a command in a process that is sent a signal at its `at`-th event."""
    done = start("-m", "benchmarks.faults.victim", number, str(at), str(workdir), *words(mode, workdir, **changes))
    out, err = done.communicate(timeout=300)
    return Outcome(done.returncode, out, err)


def start(*arguments: str) -> subprocess.Popen:
    """Start Python on the processor, in the root of the clone."""
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    env.pop("XLA_FLAGS", None)
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def events(mode: str, workdir: Path) -> int:
    """The number of events of an undisturbed command. Raises RuntimeError if it fails."""
    outcome = struck("KILL", 0, mode, workdir)
    if outcome.code:
        raise RuntimeError(outcome.err[-2000:])
    return int(outcome.out.rpartition("events ")[2])


def copy(whole: Path, to: Path, without: tuple[str, ...] = ()) -> Path:
    """A copy of a run, without some of its folders."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(whole, to, ignore=shutil.ignore_patterns(*without, "tb"))
    return to


def differences(workdir: Path, whole: Path, evaluated: bool) -> list[str]:
    """What differs between a run and the one that was never disturbed: states bit for bit, logs, metrics, pictures."""
    return list(_differences(workdir, whole, evaluated))


def _differences(workdir: Path, whole: Path, evaluated: bool) -> Iterator[str]:
    for stage in ("prior", "encoder"):
        a, b = (_newest(w / stage / "checkpoints") for w in (workdir, whole))
        if a != b:
            yield f"the state of {stage}"
        if logged(workdir, stage) != logged(whole, stage):
            yield f"the log of {stage}"
    if evaluated:
        if _metrics(workdir) != _metrics(whole):
            yield "metrics.json"
        # The training curves are of the log, which is compared.
        pictures = [{p.name: p.read_bytes() for p in (w / "eval").glob("*.png")} for w in (workdir, whole)]
        yield from (f"{name}" for name in pictures[1] if pictures[0].get(name) != pictures[1][name])
        if not (workdir / "eval" / "report.html").exists():
            yield "report.html"


def _newest(checkpoints: Path) -> tuple[int, Any]:
    step = steps(checkpoints)[0]
    return step, read_description(checkpoints / str(step)).leaves


def logged(workdir: Path, stage: str) -> list[dict[str, Any]]:
    """The rows of a stage's log, without what the clock decides."""
    rows = logs.read(workdir / stage / "metrics.jsonl")
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in rows]


def _metrics(workdir: Path) -> dict[str, Any]:
    found = json.loads((workdir / "eval" / "metrics.json").read_text())
    return {k: v for k, v in found.items() if not any(word in k for word in CLOCK)}


def stop(process: subprocess.Popen) -> None:
    """Kill a process that a fault has left."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    process.communicate()
