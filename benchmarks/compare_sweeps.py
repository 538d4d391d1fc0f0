"""The pictures of the sweeps: figures against what is swept, a line a method."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import compare_panels
import compare_plots
import matplotlib.pyplot as plt
import numpy as np
from compare_page import seconds
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

# X(run) -> where it lies.
X = Callable[[dict[str, Any]], float]


def bounds(found: list[dict[str, Any]], names: dict[str, str], path: Path) -> None:
    # Of the priors alone, which z is to be worth something beside: that which rows share, and that of a series of its own.
    without: dict[str, dict[int, float]] = {}
    for run in found:
        own = any(name.startswith("prior.") for name in run["row"].changes)
        if (name := names["bits/dim, prior"]) in run["metrics"]:
            label = f"the prior of {run['row'].series}, alone" if own else "the prior alone"
            without.setdefault(label, {})[run["seed"]] = run["metrics"][name]
    levels = {label: float(np.mean(list(of_seeds.values()))) for label, of_seeds in without.items()}
    against = {"beta": lambda run: run["row"].at}
    _draw(found, names, ("bits/dim", "above the prior", "KL"), against, path, {"bits/dim": levels})


def curves(found: list[dict[str, Any]], names: dict[str, str], path: Path) -> None:
    against = {
        "steps": lambda run: run["row"].at,
        "seconds of its own training": lambda run: seconds(run["metrics"], run["row"].stages),
    }
    _draw(found, names, compare_panels.COLUMNS, against, path)


def _draw(
    found: list[dict[str, Any]],
    names: dict[str, str],
    columns: tuple[str, ...],
    against: dict[str, X],
    path: Path,
    levels: dict[str, dict[str, float]] | None = None,
) -> None:
    """A row of panels for each x, a panel for each column; of several latent sizes or seeds, a line for each. levels: column -> what is
    drawn across it.
    """
    lines: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for run in found:
        lines.setdefault((run["row"].series, run["latent"], run["seed"]), []).append(run)
    series = list(dict.fromkeys(name for name, *_ in lines))
    latents = sorted({latent for _, latent, _ in lines})
    size = (4.1 * len(columns), 3.3 * len(against) + 0.5)
    figure, axes = plt.subplots(len(against), len(columns), figsize=size, squeeze=False, layout="constrained")
    for (x_title, x), row in zip(against.items(), axes, strict=True):
        for column, ax in zip(columns, row, strict=True):
            name = names[column]
            for (method, latent, _), runs in lines.items():
                having = sorted((run for run in runs if name in run["metrics"]), key=x)
                if not having:
                    continue
                told = [run["metrics"] for run in having]
                label = method if len(latents) == 1 else f"{method}, {latent} latents"
                look = compare_plots.style(series.index(method) + 10 * latents.index(latent))
                errors = [metrics.get(f"{name}_stderr", np.nan) for metrics in told]
                ax.errorbar(
                    [x(run) for run in having], [m[name] for m in told], errors, ms=4, lw=1.3, label=label, **look
                )
            for style, (label, level) in zip((":", "--", "-."), (levels or {}).get(column, {}).items(), strict=False):
                ax.axhline(level, color="black", lw=1, ls=style, label=label)
            ax.set(title=column, xlabel=x_title, xscale="log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.spines[["top", "right"]].set_visible(False)
    labels = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(labels.values(), labels, fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
