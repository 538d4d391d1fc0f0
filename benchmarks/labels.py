"""Classifier-free guidance on the digits: fidelity against diversity.

    python -m benchmarks.labels [--workdir runs/labels_digits]

Trains configs/labels_digits.py unless --workdir has it trained, runs its evaluator `labels`, and writes
benchmarks/results/labels_digits.{json,md,png}.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.arguments import parser_of
from benchmarks.record import RESULTS, Made, record, save_png
from sde_vae import load, load_config, runtime
from sde_vae.commands.evaluate import evaluate_run
from sde_vae.commands.train import train
from sde_vae.errors import exit_code
from sde_vae.evaluators.labels import panels
from sde_vae.reporting import plots
from sde_vae.reporting.tables import figure

NAME = "labels_digits"
COLUMNS = {
    "accuracy": "accuracy ↑",
    "variance": "variance within classes",
    "fd_pixels": "FD ↓",
    "class_fd_pixels": "FD by class ↓",
}
GUIDANCES = (0.0, 1.0, 2.0, 4.0, 8.0)


def measure(options: argparse.Namespace) -> None:
    config = load_config(NAME)
    if not train(config, options.workdir):
        return
    changes = {"eval.evaluators": ("labels",), "eval.name": "benchmark"}
    metrics = evaluate_run(load(options.workdir, changes)).metrics
    figures = {
        name: value for name, value in metrics.items() if name.startswith("labels/") or name in ("n", "seed", "split")
    }
    (head, *rows), notes = table_of(figures)
    record(NAME, "Classifier-free guidance on the digits", figures, head, rows, notes)
    save_png(plots.lines(panels(figures, GUIDANCES)), RESULTS / f"{NAME}.png")


def table_of(figures: dict) -> Made:
    """A row for each guidance, and one of held-out images."""
    rows = {**{f"{at:g}": f"{at:g}" for at in GUIDANCES}, "test digits": "reference"}
    cell = lambda name: figure(figures.get(name), figures.get(f"{name}_stderr"))
    table = [[title, *(cell(f"labels/{metric}/{at}") for metric in COLUMNS)] for title, at in rows.items()]
    notes = (
        f"{figures['labels/n']:.0f} new digits at each guidance, and {figures['labels/reference_n']:.0f} of the split {figures['split']}; one seed. "
        "FD is fd_pixels; distances of fewer images are larger, so the last row bounds no other. The variance is over that of training images."
    )
    return [["guidance", *COLUMNS.values()], *table], notes


def summary(result: str) -> Made:
    """The table of benchmarks/results/RESULT.json."""
    return table_of(json.loads((RESULTS / f"{result}.json").read_text())["figures"])


def main() -> int:
    parser = parser_of("benchmarks.labels", __doc__)
    parser.add_argument("--workdir", type=Path, default=Path("runs/labels_digits"))
    runtime.enable_compilation_cache()
    return exit_code(lambda: measure(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
