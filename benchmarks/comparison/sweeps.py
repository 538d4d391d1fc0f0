"""The pictures of the sweeps: metrics against what is swept, a line a method."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from benchmarks.comparison import panels
from benchmarks.comparison.page import complete, heading
from benchmarks.comparison.plots import style
from benchmarks.comparison.results import Results

BOUNDS = ("bits_per_dim/total", "bits_per_dim/above_prior", "latent/kl")
PRIOR = "prior/bits_per_dim/total"


def bounds(results: Results) -> Figure:
    """Against beta, with the bounds of the priors alone as levels."""
    frame = complete(results.frame())
    figure, axes = _draw(frame, BOUNDS, {"beta": "at"})
    for ls, (label, level) in zip((":", "--", "-."), priors_alone(frame).items(), strict=False):
        axes[0, 0].axhline(level, color="black", lw=1, ls=ls, label=label)
    return _with_legend(figure, axes)


def priors_alone(frame: pd.DataFrame) -> dict[str, float]:
    """Label -> bits/dim of the prior that the rows share, and of each that a series has of its own; the mean over seeds."""
    if PRIOR not in frame:
        return {}
    runs = frame[frame[PRIOR].notna()]
    label = ("the prior of " + runs["series"] + ", alone").where(runs["own_prior"] != "", "the prior alone")
    once = runs.assign(label=label).drop_duplicates(["label", "seed"], keep="last")
    return dict(once.groupby("label", sort=False)[PRIOR].mean())


def curves(results: Results) -> Figure:
    """Against the steps, and the seconds of the method's own training."""
    against = {"steps": "at", "seconds of its own training": "seconds/own"}
    return _with_legend(*_draw(complete(results.frame()), panels.METRICS, against))


def _draw(frame: pd.DataFrame, metrics: tuple[str, ...], against: dict[str, str]) -> tuple[Figure, np.ndarray]:
    """A row of panels for each abscissa, a panel for each metric; a line for each series, latent size and seed."""
    runs = frame[frame["row"].notna()]
    series, latents = list(runs["series"].unique()), sorted(runs["latent"].unique())
    size = (4.1 * len(metrics), 3.3 * len(against) + 0.5)
    figure, axes = plt.subplots(len(against), len(metrics), figsize=size, squeeze=False, layout="constrained")
    panels_of = [(x, metric) for x in against.items() for metric in metrics]
    for ((title, x), metric), ax in zip(panels_of, axes.flat, strict=True):
        having = runs[runs[metric].notna()].sort_values(x) if metric in runs else runs.iloc[:0]
        for (method, latent, _), line in having.groupby(["series", "latent", "seed"], sort=False):
            label = method if len(latents) == 1 else f"{method}, {latent} latents"
            look = style(series.index(method) + 10 * latents.index(latent))
            ax.errorbar(line[x], line[metric], line.get(f"{metric}_stderr"), ms=4, lw=1.3, label=label, **look)
        ax.set(title=heading(metric, frame), xlabel=title, xscale="log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _with_legend(figure: Figure, axes: np.ndarray) -> Figure:
    labels = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(labels.values(), labels, fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    return figure
