"""The page of the comparison of conditional estimators: a table a task, and one picture."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from benchmarks.record import RESULTS, record, save_png
from sde_vae.reporting.tables import figure

TITLES = {
    "cde": "CDE",
    "cdiffe": "CDiffE",
    "cmde": "CMDE",
    "vs_cmde": "VS-CMDE",
    "bayes": "Bayes, trained",
    "dps": "Bayes, DPS",
    "pigdm": "Bayes, PiGDM",
}
# Metric -> heading, in the order of the table.
COLUMNS = {
    "restoration/psnr": "PSNR ↑",
    "restoration_of_mean/psnr": "PSNR of the mean ↑",
    "restoration/ssim": "SSIM ↑",
    "restoration/lpips_alex": "LPIPS ↓",
    "restoration/consistency": "consistency ↓",
    "restoration/diversity": "diversity",
    "restoration/energy_score": "energy score ↓",
    "restoration/coverage": "coverage",
    "restoration/fd": "FD ↓",
    "restoration/joint_fd": "joint FD ↓",
}
Found = dict[str, dict[str, list[dict[str, Any]]]]


def write(data: str, found: Found, folders: dict[str, dict[str, Path]], config: ConfigDict) -> None:
    """Write benchmarks/results/conditional_DATA.{json,md,png} of the metrics of each task, method and seed."""
    name = f"conditional_{data}"
    figures = {task: {m: [kept(of) for of in runs] for m, runs in of.items()} for task, of in found.items()}
    columns = [c for c in COLUMNS if any(c in run for of in figures.values() for runs in of.values() for run in runs)]
    rows = [
        [task, TITLES[method], *(cell(runs, column) for column in columns)]
        for task, of in figures.items()
        for method, runs in of.items()
    ]
    first = next(runs[0] for of in found.values() for runs in of.values())
    seeds = sorted({len(runs) for of in found.values() for runs in of.values()})
    sampling, prior = config.sampling, config.stages.prior
    notes = (
        f"{first['n']} images of the split {first['split']}, {first['restoration/draws']:.0f} draws each; seeds: "
        f"{', '.join(map(str, seeds))}. ± is one standard error: over the images for one seed, over the seeds for more. Coverage of draws "
        f"from the posterior would be {first['restoration/coverage_nominal']:.3f}. FD is {fd_name(first)}. {prior.steps} steps of batch "
        f"{prior.batch_size} each, and as many of the prior for Bayes' rule; {sampling.solver} with {sampling.steps} steps. These are not the "
        "paper's data."
    )
    record(
        name,
        f"Conditional estimators on {data}",
        figures,
        ["task", "estimator", *(COLUMNS[c] for c in columns)],
        rows,
        notes,
    )
    draw(folders, RESULTS / f"{name}.png")


def kept(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics of restorations, with the Frechet distances under one name whatever the extractor."""
    name = fd_name(metrics)
    plain = {full.replace(name, "fd"): value for full, value in metrics.items() if full.startswith("restoration")}
    return plain | {n: metrics[n] for n in ("n", "seed", "split", "step")}


def fd_name(metrics: dict[str, Any]) -> str:
    return next(
        (n.removeprefix("restoration/") for n in metrics if n.startswith(("restoration/fd", "restoration/fid"))), "fd"
    )


def cell(runs: list[dict[str, Any]], metric: str) -> str:
    """The mean over the seeds with its standard error; of one seed, that over the images."""
    values = [run[metric] for run in runs if run.get(metric) is not None]
    if len(values) < 2:
        return figure(values[0], runs[0].get(f"{metric}_stderr")) if values else ""
    return figure(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values))))


def draw(folders: dict[str, dict[str, Path]], path: Path) -> None:
    """Show the restorations of each task by each method, side by side."""
    pictures = [
        (f"{task}: {TITLES[method]}", Image.open(folder / "restorations.png"))
        for task, of in folders.items()
        for method, folder in of.items()
    ]
    columns = max(len(of) for of in folders.values())
    rows = len(folders)
    fig, axes = plt.subplots(rows, columns, figsize=(3 * columns, 4.2 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    places = [axes[i][j] for i, of in enumerate(folders.values()) for j in range(len(of))]
    for axis, (title, picture) in zip(places, pictures, strict=True):
        axis.imshow(picture)
        axis.set_title(title, fontsize=9)
    fig.tight_layout()
    save_png(fig, path)
