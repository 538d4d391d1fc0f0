"""The panels below the reconstructions: each metric of every method, and the error at each noise level."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from benchmarks.comparison.columns import IMAGES
from benchmarks.comparison.page import fill
from benchmarks.comparison.statistics import Summary, over_seeds

METRICS = (
    "reconstruction/l2",
    "multi_sample_mean/l2",
    "reconstruction/lpips_alex",
    "reconstruction/fd",
    "multi_sample/fd",
)
# So many methods in a line of the legend.
ABREAST = 4
Looks = dict[str, dict[str, Any]]


def draw(part: Any, frame: pd.DataFrame, looks: Looks) -> None:
    """Against the latent size, or as bars where there is one size."""
    latents, levels = sorted(frame["latent"].unique()), with_levels(frame)
    metrics = [name for name in METRICS if name in frame and frame[name].notna().any()]
    summary = over_seeds(frame, metrics)
    axes = part.subplots(1, len(metrics) + bool(len(levels)), squeeze=False)[0]
    for name, ax in zip(metrics, axes, strict=False):
        if len(latents) > 1:
            _against_size(ax, summary.mean[name], latents, looks)
        else:
            _bars(ax, summary, name, looks)
        ax.set_title(fill(IMAGES[name], frame))
    if len(levels):
        _noise_levels(axes[-1], levels, looks)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    lines = [Line2D([], [], ms=4, lw=1.3, label=method, **look) for method, look in looks.items()]
    part.legend(handles=lines, fontsize=8, frameon=False, loc="outside lower center", ncols=ABREAST)


def _against_size(ax: plt.Axes, mean: pd.Series, latents: list[int], looks: Looks) -> None:
    for method, look in looks.items():
        of_sizes = mean.xs(method, level="method").dropna().sort_index()
        ax.plot(of_sizes.index, of_sizes, ms=4, lw=1.3, **look)
    ax.set(xlabel="latents", xscale="log", yscale="log", xlim=(latents[0] / 1.15, latents[-1] * 1.15))
    ax.set_xticks(latents, map(str, latents))
    ax.minorticks_off()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    ax.yaxis.set_major_formatter("{x:g}")


def _bars(ax: plt.Axes, summary: Summary, name: str, looks: Looks) -> None:
    """The first method on top, with the standard errors of the table; hollow, where its line is."""
    mean, error = (of[name].droplevel("latent") for of in (summary.mean, summary.error))
    for place, (method, look) in enumerate(looks.items()):
        if pd.notna(mean.get(method)):
            fill_of = {"fill": False, "edgecolor": look["color"]} if "mfc" in look else {"color": look["color"]}
            xerr = error[method] if pd.notna(error[method]) else None
            ax.barh(place, mean[method], xerr=xerr, capsize=2, **fill_of)
    ax.set_ylim(len(looks) - 0.5, -0.5)
    named = ax.get_subplotspec().is_first_col()
    ax.set_yticks(range(len(looks)), looks if named else [""] * len(looks), fontsize=8)


def with_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """The first seed of each method that has noise levels, of the smallest latent size where one has; columns: place, levels."""
    columns = [name for name in frame if name.startswith("noise_level/") and name.endswith("/mse")]
    having = frame[frame[columns].notna().any(axis=1)] if columns else frame.iloc[:0]
    of_size = having[having["latent"] == having["latent"].min()].sort_values("seed", kind="stable")
    more = [name for name in ("from_z/kernel_mse",) if name in frame]
    return of_size.drop_duplicates("method")[["method", "latent", *columns, *more]]


def _noise_levels(ax: plt.Axes, levels: pd.DataFrame, looks: Looks) -> None:
    """mse of E[x_0 | x_t, z] against logSNR; at the left end a bar of the colour for the regression on z alone."""
    names = {float(name.split("/")[1]): name for name in levels if name.startswith("noise_level/")}
    names = dict(sorted(names.items()))
    for _, run in levels.iterrows():
        of_levels = pd.Series({level: run[name] for level, name in names.items()}).dropna()
        look = looks[run["method"]]
        ax.plot(of_levels.index, of_levels, lw=1.3, ms=3, **look)
        if pd.notna(run.get("from_z/kernel_mse")):
            ax.plot(of_levels.index[0], run["from_z/kernel_mse"], marker="_", ms=12, color=look["color"])
    ax.set(xlabel="logSNR", ylabel="mse", yscale="log")
    ax.set_title(f"E[x_0 | x_t, z], {levels['latent'].iloc[0]} latents", fontsize=10)
