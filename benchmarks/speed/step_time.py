"""Time of a training step, and of an evaluation while decoding, beside the same networks in PyTorch.

    python -m benchmarks.speed.step_time [--kinds prior encoder ...] [--sizes 8x8 ...] [--threads 1 2] [--rounds 5] [--compile]

Each library has a process of its own; they run in turn, a second each, for --rounds rounds, on as many cores as --threads says. A ratio is
PyTorch's median time over ours: more than 1 is ahead. --compile adds torch.compile. Writes benchmarks/results/step_time.{json,md,png}, and
keeps the rows of earlier calls that are not measured anew.
"""

import json
import os
import statistics
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import matplotlib.pyplot as plt
from tqdm import tqdm

from benchmarks.arguments import parser_of
from benchmarks.record import RESULTS, ROOT, Made, record, save_png
from benchmarks.speed.step_cases import KINDS, SIZES
from benchmarks.speed.step_worker import DECODING
from benchmarks.speed.summary import label, ratio
from sde_vae.reporting.tables import figure

NAME = "step_time"
ALL = (*KINDS, *DECODING)
TITLES = {"jax": "ours", "torch": "PyTorch", "torch.compile": "torch.compile"}


class Worker:
    """A process of step_worker. `loss` is that of the given draws; `error` says why there are no times."""

    def __init__(self, engine: str, kind: str, size: str, threads: int) -> None:
        command = [sys.executable, "-m", "benchmarks.speed.step_worker", engine, kind, size, str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        said = self._process.stdout.readline()
        found = json.loads(said) if said else {"error": self._last_line()}
        self.loss, self.error = found.get("loss"), found.get("error")

    def seconds(self) -> float:
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()

    def _last_line(self) -> str:
        return (self._process.communicate()[1].strip().splitlines() or ["the process ended without a word"])[-1]


def measure(kind: str, size: str, threads: int, rounds: int, engines: list[str]) -> dict[str, Any]:
    """The figures of one row; an engine without times has its error."""
    workers = {engine: Worker(engine, kind, size, threads) for engine in engines}
    running = {engine: worker for engine, worker in workers.items() if worker.error is None}
    times: dict[str, list[float]] = {engine: [] for engine in running}
    for _ in range(rounds):
        for engine, worker in running.items():
            times[engine].append(worker.seconds())
    found: dict[str, Any] = {"kind": kind, "size": size, "batch": SIZES[size][1], "threads": threads, "rounds": rounds}
    found |= {"load": round(os.getloadavg()[0], 2), "errors": {e: w.error for e, w in workers.items() if w.error}}
    for engine, of in times.items():
        found[f"{engine}_ms"] = 1000 * statistics.median(of)
    losses = [worker.loss for engine, worker in running.items() if engine != "torch.compile" and worker.loss]
    if len(losses) == 2:
        found["losses_differ_by"] = abs(losses[0] - losses[1]) / abs(losses[1])
    for engine in ("torch", "torch.compile"):
        if engine in times and "jax" in times:
            ratios = [theirs / ours for ours, theirs in zip(times["jax"], times[engine], strict=True)]
            found[f"ratio_to_{engine}"] = statistics.median(ratios)
            found[f"ratio_to_{engine}_range"] = [min(ratios), max(ratios)]
    for worker in workers.values():
        worker.close()
    return found


def table_of(rows: list[dict[str, Any]]) -> Made:
    head = ["step", "size", "batch", "threads", "ours, ms", "PyTorch, ms", "ratio to PyTorch", "ratio to torch.compile"]
    lines = [
        [
            row["kind"],
            row["size"],
            str(row["batch"]),
            str(row["threads"]),
            figure(row.get("jax_ms")),
            figure(row.get("torch_ms")),
            ratio(row, "torch"),
            ratio(row, "torch.compile"),
        ]
        for row in rows
    ]
    differ = [row["losses_differ_by"] for row in rows if "losses_differ_by" in row]
    notes = (
        f"A ratio is PyTorch's time over ours, above 1 ours is faster: the median of {rows[0]['rounds']} rounds [the least, the largest]. Decoding is "
        f"an evaluation of the score and its ancestral step. PyTorch {version('torch')} is eager and channels last."
    )
    if differ:
        notes += f" On the same parameters and draws the losses differ by at most {max(differ):.0e} of their value."
    failed = sorted({f"{row['kind']}: {error}" for row in rows for error in row["errors"].values()})
    return [head, *lines], notes + "".join(f" Without a figure: {text}." for text in failed)


def draw(rows: list[dict[str, Any]]) -> None:
    """The ratio of each row, a bar each, by number of threads."""
    with_ratio = [row for row in rows if "ratio_to_torch" in row]
    fig, axis = plt.subplots(figsize=(8, 0.6 + 0.28 * len(with_ratio)))
    colours = ["tab:blue" if row["threads"] == 1 else "tab:cyan" for row in with_ratio]
    axis.barh([label(row) for row in with_ratio], [row["ratio_to_torch"] for row in with_ratio], color=colours)
    axis.axvline(1, color="black", linewidth=1)
    axis.invert_yaxis()
    axis.set_xlabel("PyTorch's time over ours (right of the line: ours is faster)")
    fig.tight_layout()
    save_png(fig, RESULTS / f"{NAME}.png")


def kept() -> dict[tuple[str, str, int], dict[str, Any]]:
    path = RESULTS / f"{NAME}.json"
    rows = json.loads(path.read_text())["figures"]["rows"] if path.exists() else []
    return {(row["kind"], row["size"], row["threads"]): row for row in rows}


def main() -> None:
    parser = parser_of("benchmarks.speed.step_time", __doc__)
    parser.add_argument("--kinds", nargs="+", choices=ALL, default=ALL)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    options = parser.parse_args()
    engines, rows = ["jax", "torch", *["torch.compile"] * options.compile], kept()
    places = [(kind, size, n) for size in options.sizes for kind in options.kinds for n in options.threads]
    for place in tqdm(places, desc="step time"):
        rows[place] = measure(*place, options.rounds, engines)
        order = sorted(rows, key=lambda at: (ALL.index(at[0]), list(SIZES).index(at[1]), at[2]))
        (head, *lines), notes = table_of([rows[at] for at in order])
        record(NAME, "Time of a step beside PyTorch", {"rows": [rows[at] for at in order]}, head, lines, notes)
    draw([rows[at] for at in order])


if __name__ == "__main__":
    main()
