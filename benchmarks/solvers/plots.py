"""The picture of the benchmark of the solvers."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator, StrMethodFormatter

# Stochastic solvers are dashed, deterministic ones solid; related solvers have related colours.
STYLES = {
    "euler_maruyama": ("tab:gray", "--", "o"),
    "reverse_diffusion": ("tab:brown", "--", "s"),
    "ancestral": ("tab:olive", "--", "^"),
    "predictor_corrector": ("tab:pink", "--", "v"),
    "ddim": ("tab:green", "-", "o"),
    "heun": ("tab:orange", "-", "s"),
    "heun_churn": ("tab:red", "--", "s"),
    "dpm_solver_pp_2m": ("tab:blue", "-", "D"),
    "sde_dpm_solver_pp_2m": ("tab:cyan", "--", "D"),
    "ode": ("black", "-", "x"),
}
TICKS = (5, 10, 20, 50, 100, 200, 500, 1000)
# Panels end at this many times the reference's distance.
HIGHEST = 4


def draw(found: dict[str, Any]) -> Figure:
    """Each distance against NFE, a line for each solver on the better of its grids, the reference a band; PSNR of the inversions."""
    figure, axes = plt.subplots(2, 2, figsize=(12.5, 8))
    titles = {"l2": "l2 ↓", "lpips_alex": "LPIPS (AlexNet) ↓", "fd": f"Fréchet distance ({found['fd']}) ↓"}
    reference = found["reference"]
    for (metric, title), ax in zip(titles.items(), axes.flat, strict=False):
        _lines(ax, found["rows"], metric, -1)
        error = reference[f"{metric}_stderr"] or 0
        label = f"Euler-Maruyama, {reference['steps']} steps,\n± standard error"
        ax.axhspan(
            reference[metric] - error, reference[metric] + error, color="tab:gray", alpha=0.35, lw=0, label=label
        )
        ax.set(title=title, xlabel="NFE", yscale="log")
        ax.set_ylim(top=min(ax.get_ylim()[1], HIGHEST * reference[metric]))
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax = axes.flat[-1]
    _lines(ax, found["inversion"], "psnr", +1)
    ax.axhline(reference["psnr"], color="tab:gray", lw=1.5, ls=":", label="PSNR without inversion")
    ax.set(title="Inversion and decoding, PSNR in dB ↑", xlabel="NFE of one direction")
    for ax in axes.flat:
        _scale(ax)
    named = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(
        named.values(), named.keys(), loc="center left", bbox_to_anchor=(0.79, 0.5), frameon=False, fontsize=9
    )
    figure.suptitle(f"{found['name']}: {found['n']} images, {found['seeds']} seeds", x=0.4, fontsize=11)
    figure.tight_layout(rect=(0, 0, 0.79, 1))
    return figure


def _lines(ax: plt.Axes, rows: list[dict[str, Any]], metric: str, better: int) -> None:
    """better: +1 if more is better, -1 if less."""
    for solver, (color, ls, marker) in STYLES.items():
        grids: dict[str, list[dict[str, Any]]] = {}
        for row in (row for row in rows if row["solver"] == solver and metric in row):
            grids.setdefault("adaptive" if row["grid"].startswith("tolerance") else row["grid"], []).append(row)
        if grids:
            best = max(grids.values(), key=lambda rows: better * np.mean([np.log(row[metric]) for row in rows]))
            best = sorted(best, key=lambda row: row["nfe"])
            x, y, error = zip(*((row["nfe"], row[metric], row[f"{metric}_stderr"] or 0) for row in best), strict=True)
            ax.errorbar(x, y, error, label=solver, color=color, ls=ls, marker=marker, ms=4, lw=1.3, elinewidth=0.8)


def _scale(ax: plt.Axes) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(TICKS))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
