"""The panels below the reconstructions: each metric of every method, and the error at each noise level."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from benchmarks.comparison.page import heading
from benchmarks.comparison.statistics import over_seeds

METRICS = (
    "reconstruction/l2",
    "multi_sample_mean/l2",
    "reconstruction/lpips_alex",
    "reconstruction/fd",
    "multi_sample/fd",
)
FROM_Z = "from_z/kernel_mse"
# So many methods in a line of the legend.
ABREAST = 4
Looks = dict[str, dict[str, Any]]


def draw(part: Any, frame: pd.DataFrame, looks: Looks) -> None:
    """Against the latent size, or as bars where there is one size."""
    summary, levels = over_seeds(frame, METRICS), with_levels(frame)
    metrics = summary.mean.dropna(how="all", axis=1)
    axes = part.subplots(1, len(metrics.columns) + bool(len(levels)), squeeze=False)[0]
    for name, ax in zip(metrics, axes, strict=False):
        if frame["latent"].nunique() > 1:
            _against_size(ax, metrics[name], looks)
        else:
            _bars(ax, metrics[name].droplevel("latent"), summary.error[name].droplevel("latent"), looks)
        ax.set_title(heading(name, frame))
    if len(levels):
        _noise_levels(axes[-1], levels, looks)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    lines = [Line2D([], [], ms=4, lw=1.3, label=method, **look) for method, look in looks.items()]
    part.legend(handles=lines, fontsize=8, frameon=False, loc="outside lower center", ncols=ABREAST)


def _against_size(ax: plt.Axes, mean: pd.Series, looks: Looks) -> None:
    wide = mean.unstack("method").sort_index()
    for method, look in looks.items():
        ax.plot(wide[method].dropna(), ms=4, lw=1.3, **look)
    ax.set(xlabel="latents", xscale="log", yscale="log", xlim=(wide.index[0] / 1.15, wide.index[-1] * 1.15))
    ax.set_xticks(wide.index, map(str, wide.index))
    ax.minorticks_off()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    ax.yaxis.set_major_formatter("{x:g}")


def _bars(ax: plt.Axes, mean: pd.Series, error: pd.Series, looks: Looks) -> None:
    """The first method on top, with the standard errors of the table; hollow, where its line is."""
    for place, (method, look) in enumerate(looks.items()):
        if pd.notna(mean[method]):
            colour = {"fill": False, "edgecolor": look["color"]} if "mfc" in look else {"color": look["color"]}
            ax.barh(place, mean[method], xerr=error[method] if pd.notna(error[method]) else None, capsize=2, **colour)
    ax.set_ylim(len(looks) - 0.5, -0.5)
    named = ax.get_subplotspec().is_first_col()
    ax.set_yticks(range(len(looks)), looks if named else [""] * len(looks), fontsize=8)


def with_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a method, its first seed of the smallest latent size where one has noise levels; a column a level, and FROM_Z."""
    names = {n: float(n.split("/")[1]) for n in frame if n.startswith("noise_level/") and n.endswith("/mse")}
    names = dict(sorted(names.items(), key=lambda item: item[1]))
    having = frame[frame[list(names)].notna().any(axis=1)] if names else frame.iloc[:0]
    first = having[having["latent"] == having["latent"].min()].sort_values("seed").drop_duplicates("method")
    return first.set_index("method").reindex(columns=["latent", *names, FROM_Z]).rename(columns=names)


def _noise_levels(ax: plt.Axes, levels: pd.DataFrame, looks: Looks) -> None:
    """mse of E[x_0 | x_t, z] against logSNR; at the left end a bar of the colour for the regression on z alone."""
    for method, run in levels.drop(columns="latent").iterrows():
        errors = run.drop(FROM_Z).dropna().astype(float)
        ax.plot(errors, lw=1.3, ms=3, **looks[method])
        if pd.notna(run[FROM_Z]):
            ax.plot(errors.index[0], run[FROM_Z], marker="_", ms=12, color=looks[method]["color"])
    ax.set(xlabel="logSNR", ylabel="mse", yscale="log")
    ax.set_title(f"E[x_0 | x_t, z], {levels['latent'].iloc[0]} latents", fontsize=10)
