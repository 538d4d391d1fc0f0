"""The page of the comparison of conditional estimators: a row for each task and method, and one picture; and its tables for docs/."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from benchmarks.comparison.statistics import half_width, interval, over_seeds, paired
from benchmarks.record import RESULTS, Made, record, save_png
from sde_vae import load
from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.restoration import at_image_size

TITLES = {
    "cde": "CDE",
    "cdiffe": "CDiffE",
    "cmde": "CMDE",
    "vs_cmde": "VS-CMDE",
    "bayes": "Bayes, trained",
    "dps": "Bayes, DPS",
    "pigdm": "Bayes, PiGDM",
}
# What the others are compared with, seed by seed.
REFERENCE = "cde"
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
# Those of the tables in docs/; all are on the benchmark's own page.
GLANCE = (
    "restoration/psnr",
    "restoration/lpips_alex",
    "restoration/energy_score",
    "restoration/coverage",
    "restoration/fd",
    "restoration/joint_fd",
)
# Images in a row of the figure.
SHOWN = 10
# Task -> method -> a run a seed.
Found = dict[str, dict[str, list[dict[str, Any]]]]


def write(name: str, data: str, found: Found, runs: dict[str, dict[str, Path]], config: ConfigDict) -> None:
    """Write benchmarks/results/NAME.{json,md,png} of the metrics of each task, method and seed; `runs` are shown."""
    figures = {task: {m: [kept(metrics) for metrics in seeds] for m, seeds in of.items()} for task, of in found.items()}
    (head, *rows), caption = glance(figures, tuple(COLUMNS))
    first = next(runs[0] for of in found.values() for runs in of.values())
    sampling, stage, prior = config.sampling, config.stages.encoder, config.stages.prior
    notes = (
        f"{caption} {stage.steps} steps of batch {stage.batch_size} each, and {prior.steps} of the prior for Bayes' rule; {sampling.solver} with "
        f"{sampling.steps} steps. FD is {fd_name(first)}. These are not the paper's data."
    )
    record(name, f"Conditional estimators on {data}", figures, head, rows, notes)
    draw(runs, RESULTS / f"{name}.png")


def kept(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics of restorations, with the Frechet distances under one name whatever the extractor."""
    name = fd_name(metrics)
    plain = {full.replace(name, "fd"): value for full, value in metrics.items() if full.startswith("restoration")}
    return plain | {n: metrics[n] for n in ("n", "seed", "split", "step")}


def fd_name(metrics: dict[str, Any]) -> str:
    return next(
        (n.removeprefix("restoration/") for n in metrics if n.startswith(("restoration/fd", "restoration/fid"))), "fd"
    )


def frame_of(figures: Found) -> pd.DataFrame:
    """A run a row. The column `latent`, by which statistics group, is the task; `reference` names the row of REFERENCE."""
    rows = [
        {"row": f"{task} {method}", "method": TITLES[method], "latent": task, "reference": _reference(task, method)}
        | run
        for task, of in figures.items()
        for method, runs in of.items()
        for run in runs
    ]
    return pd.DataFrame(rows)


def _reference(task: str, method: str) -> str:
    return "" if method == REFERENCE else f"{task} {REFERENCE}"


def glance(figures: Found, metrics: tuple[str, ...]) -> Made:
    """A row for each task and method: means over the seeds."""
    frame = frame_of(figures)
    table = over_seeds(frame, metrics).text()
    rows = [[*place, *cells] for place, cells in zip(table.index, table.to_numpy(), strict=True)]
    seeds, run = sorted(frame.groupby(["latent", "method"]).size().unique()), frame.iloc[0]
    caption = (
        f"{run['n']:.0f} images of the split {run['split']}, {run['restoration/draws']:.0f} draws each; "
        f"{' to '.join(map(str, seeds))} seed{'s' * (seeds != [1])}. ± is one standard error: over the seeds, or over the images for one seed. "
        f"Coverage of draws from the posterior would be {run['restoration/coverage_nominal']:.3f}."
    )
    return [["task", "estimator", *(COLUMNS[name] for name in table)], *rows], caption


def differences(figures: Found, metrics: tuple[str, ...]) -> Made:
    """Each method less REFERENCE, seed by seed, with Student's intervals."""
    found = paired(frame_of(figures), "reference", metrics)
    half = half_width(found)
    rows = [
        [
            task,
            method,
            *(interval(mean, width) for mean, width in zip(found.mean.loc[place], half.loc[place], strict=True)),
        ]
        for place in found.mean.index
        for task, method in [place]
    ]
    caption = f"Difference to {TITLES[REFERENCE]}, seed by seed: mean [Student's 95 % interval], bold where the interval excludes 0."
    return [["task", "estimator", *(COLUMNS[name] for name in found.mean)], *rows], caption


def of_result(make, result: str) -> Made:
    """make(figures, GLANCE) of benchmarks/results/RESULT.json."""
    return make(json.loads((RESULTS / f"{result}.json").read_text())["figures"], GLANCE)


summary = partial(of_result, glance)
summary_of_differences = partial(of_result, differences)


def draw(runs: dict[str, dict[str, Path]], path: Path) -> None:
    """Show one restoration of the same observations by the run of each task and method: a task a panel, a method a row."""
    panels = {task: restorations(of) for task, of in runs.items()}
    # Inches: 3.3 for the images of a row, and 0.9 for its name.
    figsize = (4.2 * len(panels), 0.5 + 3.3 / SHOWN * max(map(len, panels.values())))
    fig, axes = plt.subplots(1, len(panels), figsize=figsize, squeeze=False)
    for axis, (task, rows) in zip(axes[0], panels.items(), strict=True):
        size = rows["truth"].shape[1]
        axis.set_anchor("N")
        axis.imshow(tiled(rows), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(task.replace("_", " "))
        axis.set_xticks([])
        axis.set_yticks([(size + 1) * i + size / 2 for i in range(len(rows))], list(rows))
        axis.tick_params(length=0)
        for side in axis.spines.values():
            side.set_visible(False)
    fig.tight_layout()
    # About two dots for a pixel of the largest images.
    largest = max(rows["truth"].shape[1] for rows in panels.values())
    save_png(fig, path, dpi=100 * max(1, round(largest / 16)))


def restorations(runs: dict[str, Path]) -> dict[str, np.ndarray]:
    """What is observed of SHOWN images, the truth, and one draw of each method: [SHOWN, H, W, C] on [0, 1] by the name of the row."""
    rows: dict[str, np.ndarray] = {}
    for method, folder in runs.items():
        run = load(folder)
        truth = run.images("test", SHOWN)
        y = run.observe(truth, seed=0)
        if not rows:
            rows = {"observed": to_unit(at_image_size(run.experiment.measurement, y, truth)), "truth": truth}
        rows[TITLES[method]] = run.restore(y, n=1, seed=0)[:, 0]
    return rows


def tiled(rows: dict[str, np.ndarray]) -> np.ndarray:
    """One image of all rows, with a white line between images.

    >>> tiled({"truth": np.zeros((3, 8, 8, 1)), "CDE": np.zeros((3, 8, 8, 1))}).shape
    (18, 27, 1)
    """
    framed = [np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1.0) for x in rows.values()]
    return np.concatenate([np.concatenate(list(x), axis=1) for x in framed], axis=0)
