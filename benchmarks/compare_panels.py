"""The panels below the pictures of the comparison: each figure of every method, and what z is worth at each noise level."""

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
from compare_seeds import Cell, over_seeds
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

COLUMNS = ("l2", "l2, average", "LPIPS", "rFD", "rFD, all")
# So many methods in a line of the legend.
ABREAST = 4
Found = list[dict[str, Any]]
Looks = dict[str, dict[str, Any]]


def draw(part: Any, found: Found, columns: dict[str, str], looks: Looks) -> None:
    """columns: title -> metric. Against the latent's size, or of one size as bars."""
    latents, levels = sorted({run["latent"] for run in found}), _with_levels(found)
    axes = part.subplots(1, len(columns) + bool(levels), squeeze=False)[0]
    for (title, name), ax in zip(columns.items(), axes, strict=False):
        if len(latents) > 1:
            _against_size(ax, found, name, latents, looks)
        else:
            _bars(ax, found, name, looks)
        ax.set_title(title)
    if levels:
        _noise_levels(axes[-1], levels, looks)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    lines = [Line2D([], [], ms=4, lw=1.3, label=method, **look) for method, look in looks.items()]
    part.legend(handles=lines, fontsize=8, frameon=False, loc="outside lower center", ncols=ABREAST)


def _against_size(ax: plt.Axes, found: Found, name: str, latents: list[int], looks: Looks) -> None:
    for method, look in looks.items():
        told = {latent: _over_seeds(found, method, latent, name)[0] for latent in latents}
        told = {latent: value for latent, value in told.items() if value is not None}
        ax.plot(list(told), list(told.values()), ms=4, lw=1.3, **look)
    ax.set(xlabel="latents", xscale="log", yscale="log", xlim=(latents[0] / 1.15, latents[-1] * 1.15))
    ax.set_xticks(latents, map(str, latents))
    ax.minorticks_off()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    ax.yaxis.set_major_formatter("{x:g}")


def _bars(ax: plt.Axes, found: Found, name: str, looks: Looks) -> None:
    """The first method on top, each with the standard error that the table tells; hollow, where its line is."""
    latent = found[0]["latent"]
    for place, (method, look) in enumerate(looks.items()):
        value, error = _over_seeds(found, method, latent, name)
        if value is not None:
            fill = {"fill": False, "edgecolor": look["color"]} if "mfc" in look else {"color": look["color"]}
            ax.barh(place, value, xerr=error, capsize=2, **fill)
    ax.set_ylim(len(looks) - 0.5, -0.5)
    named = ax.get_subplotspec().is_first_col()
    ax.set_yticks(range(len(looks)), looks if named else [""] * len(looks), fontsize=8)


def _over_seeds(found: Found, method: str, latent: int, name: str) -> Cell:
    return over_seeds([r["metrics"] for r in found if r["row"].title == method and r["latent"] == latent], name)


def _with_levels(found: Found) -> Found:
    """Of the smallest size of which noise levels are told, the first seed of each method that has them."""
    having = [run for run in found if _levels(run["metrics"])]
    smallest = min((run["latent"] for run in having), default=None)
    of_size = sorted((run for run in having if run["latent"] == smallest), key=lambda run: -run["seed"])
    return list({run["row"].title: run for run in of_size}.values())


def _levels(metrics: Iterable[str]) -> list[float]:
    return sorted(float(n.split("/")[1]) for n in metrics if n.startswith("noise_level/") and n.endswith("/mse"))


def _noise_levels(ax: plt.Axes, found: Found, looks: Looks) -> None:
    """mse of E[x_0 | x_t, z] against logSNR, and at its left end that of a regression on z alone, in the method's colour."""
    for run in found:
        metrics, look = run["metrics"], looks[run["row"].title]
        levels = _levels(metrics)
        ax.plot(levels, [metrics[f"noise_level/{level:.1f}/mse"] for level in levels], lw=1.3, ms=3, **look)
        if "from_z/kernel_mse" in metrics:
            # Where x_t says nothing z is all there is.
            ax.plot(levels[0], metrics["from_z/kernel_mse"], marker="_", ms=12, color=look["color"])
    ax.set(xlabel="logSNR", ylabel="mse", yscale="log")
    ax.set_title(f"E[x_0 | x_t, z], {found[0]['latent']} latents", fontsize=10)
