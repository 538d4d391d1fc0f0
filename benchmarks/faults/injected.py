"""Faults of a run's life, injected into a tiny run: signals, damaged files, two at once, full disks, changed stages and configs.

    python -m benchmarks.faults.injected [--only KIND ...]

A run survives a fault if what comes after it is, bit for bit, the run that was never disturbed; or if it is refused in one line with an exit
code of 1 or 2. What was damaged and is made again is also said.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults import bench, disk_faults, file_faults, process_faults
from benchmarks.faults.record import NAME, record_section
from benchmarks.record import RESULTS

SURVIVED = "survived"
# Name of the fault, and what runs it: (whole run, folder for a copy) -> "" if survived, or what was wrong.
Fault = tuple[str, Callable[[Path, Path], str]]
KINDS: dict[str, Callable[[Path], Iterable[Fault]]] = {
    "SIGKILL": process_faults.killed,
    "SIGTERM, SIGINT": process_faults.asked_to_stop,
    "two at once, locks, orphans": process_faults.several,
    "disk, workdir": disk_faults.faults,
    "files of training": file_faults.of_training,
    "files of evaluation": file_faults.of_evaluation,
    "config.json, stages, copies": file_faults.of_config_and_stages,
}


class Verdict(NamedTuple):
    """A fault, and what was wrong after it: nothing, if it was survived."""

    kind: str
    name: str
    wrong: str


def undisturbed(folder: Path) -> Path:
    """Train and evaluate the tiny run in `folder`. Raises RuntimeError if that fails."""
    whole = folder / "whole"
    for mode in ("train", "eval"):
        if (outcome := bench.command(mode, whole)).code:
            raise RuntimeError(outcome.err[-2000:])
    return whole


def inject(whole: Path, folder: Path, faults: Iterable[tuple[str, Fault]]) -> list[Verdict]:
    """Inject each fault into a copy of `whole`."""
    verdicts = []
    for kind, (name, run) in faults:
        begun = time.perf_counter()
        try:
            wrong = run(whole, folder / "copy")
        except Exception as error:
            wrong = f"{type(error).__name__}: {str(error)[:300]}"
        verdicts.append(Verdict(kind, name, wrong))
        print(f"{time.perf_counter() - begun:6.1f} s  {kind}: {name}: {wrong or SURVIVED}", flush=True)
    return verdicts


def main() -> int:
    """Inject faults, and record their table. Returns the number of those that were not survived, at most 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(KINDS), help="kinds; by default all")
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # Of the processes that are killed too: the user's own programs stay whole.
        os.environ |= {
            "JAX_COMPILATION_CACHE_DIR": str(folder / "programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        whole, verdicts = undisturbed(folder), []
        for kind in only:
            verdicts += inject(whole, folder, [(kind, fault) for fault in KINDS[kind](whole)])
            # After each kind: what was found is not lost if the rest is stopped.
            record(verdicts)
    return int(any(v.wrong for v in verdicts))


def record(verdicts: list[Verdict]) -> None:
    """Write the section of the page of faults; the kinds that were not injected now stay as they were."""
    path = RESULTS / f"{NAME}.json"
    before = json.loads(path.read_text()).get("injected", {}).get("figures", {}) if path.exists() else {}
    now = {kind: {v.name: v.wrong or SURVIVED for v in verdicts if v.kind == kind} for kind in KINDS}
    figures = {kind: now[kind] or before.get(kind, {}) for kind in KINDS}
    counts = {kind: (len(of), sum(what == SURVIVED for what in of.values())) for kind, of in figures.items()}
    counts["all"] = (sum(n for n, _ in counts.values()), sum(m for _, m in counts.values()))
    record_section(
        "injected",
        "Faults of a run's life",
        ["kind", "faults", "survived"],
        [[kind, *map(str, of)] for kind, of in counts.items()],
        "Survived: the run that follows is the undisturbed one bit for bit (states, logs, metrics, pictures), or the command is refused in "
        "one line. Signals are sent at points spread evenly over what a process opens, makes, renames and removes in its workdir.",
        figures,
    )


if __name__ == "__main__":
    sys.exit(main())
