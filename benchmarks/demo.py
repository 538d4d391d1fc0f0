"""Copies the evaluation of a trained run into the results: by default the demo's.

    python -m benchmarks.demo --workdir runs/scorevae_digits [--name demo]

Reads WORKDIR/eval/metrics.json, config.json and the logs of training. Writes benchmarks/results/NAME.{json,md}, from which
`python -m benchmarks.tables` makes the table of the README. To reproduce it: `make demo`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.arguments import parser_of
from benchmarks.record import RESULTS, Made, machine, markdown, record
from sde_vae.errors import BadInput, exit_code
from sde_vae.reporting.tables import Table, figure, tables
from sde_vae.training import logs

OF_SUMMARY = {
    "ScoreVAE": "reconstruction",
    "ScoreVAE, mean z": "reconstruction_of_mean",
    "ScoreVAE, z and inverted x_T": "inversion",
    "PCA, {n} components": "baseline/pca",
    "mean image": "baseline/mean_image",
}
STAGES = ("prior", "encoder", "correction", "latent")


def demo(directory: Path, name: str) -> None:
    """Raises BadInput if the run has no evaluation."""
    path = directory / "eval" / "metrics.json"
    if not path.exists():
        raise BadInput(f"--workdir: {directory} has no eval/metrics.json; expected a run after --mode eval")
    metrics, made = json.loads(path.read_text()), json.loads((directory / "config.json").read_text())
    first, *rest = tables(metrics)
    steps = {stage: step for stage in STAGES if (step := last_step(directory / stage / "metrics.jsonl"))}
    data = made["config"]["data"]["name"]
    about = (
        f"{metrics['n']} images of the split {metrics['split']}, {metrics['latent_dim']} latents, seed {metrics['seed']}, one run; "
        + ", ".join(
            f"{stage} {step} steps at {metrics[f'{stage}_steps_per_second']:.1f}/s" for stage, step in steps.items()
        )
        + ". ± is one standard error over the images."
    )
    others = [line for table in rest for line in ("", f"{table.title}:", "", *markdown(as_markdown(table)))]
    head, *rows = as_markdown(first)
    record(
        name,
        f"{metrics['method']} on {data}, as configured",
        metrics,
        head,
        rows,
        "\n".join([about, *others]),
        command=made["command"],
        versions=made["versions"],
        machine=machine(),
    )


def as_markdown(table: Table) -> list[list[str]]:
    """Head and rows."""
    return [["", *table.head], *([name, *(figure(*cell) for cell in cells)] for name, cells in table.rows)]


def last_step(log: Path) -> Any:
    return logs.read(log)[-1]["step"] if log.exists() else None


def summary(result: str) -> Made:
    """The demo's reconstructions beside PCA's and the mean image."""
    found = json.loads((RESULTS / f"{result}.json").read_text())["figures"]
    names = {"l2": "l2 ↓", "mse": "mse ↓", "psnr": "PSNR, dB ↑", "fd_pixels": "fd_pixels ↓"}
    rows = [["", *names.values(), "bits/dim ↓"]]
    for title, of in OF_SUMMARY.items():
        bits = ("bits_per_dim/total",) if of == "reconstruction" else ()
        cells = [figure(found.get(n), found.get(f"{n}_stderr")) for n in (*(f"{of}/{m}" for m in names), *bits)]
        rows.append([title.format(n=found["latent_dim"]), *cells, *[""] * (1 - len(bits))])
    caption = (
        f"{found['n']} digits of the split {found['split']}, {found['latent_dim']} latents, seed {found['seed']}; ± is one standard "
        "error over the images."
    )
    return rows, caption


def main() -> int:
    parser = parser_of("benchmarks.demo", __doc__)
    parser.add_argument("--workdir", type=Path, default=Path("runs/scorevae_digits"))
    parser.add_argument("--name", default="demo")
    options = parser.parse_args()
    return exit_code(lambda: demo(options.workdir.expanduser(), options.name))


if __name__ == "__main__":
    sys.exit(main())
