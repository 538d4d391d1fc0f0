"""The pictures of the comparison."""

from pathlib import Path
from typing import Any

import matplotlib
from compare_kept import SHOWN, read_pictures

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator

SHOWN_COLUMNS = ("l2", "l2, average", "LPIPS", "rFD", "rFD, all")


def style(i: int) -> dict[str, Any]:
    """Of 40 methods: ten colours, each with four kinds of line and mark."""
    return {"color": f"C{i % 10}", "ls": ("-", "--", ":", "-.")[i // 10 % 4], "marker": "os^D"[i // 10 % 4]}


def draw(found: list[dict[str, Any]], names: dict[str, str], path: Path) -> None:
    """For each latent size, reconstructions of the same images by every row of the first seed; below, figures against its size, and of
    the first size what z is worth at each noise level.
    """
    latents = sorted({run["latent"] for run in found})
    first = min(run["seed"] for run in found)
    shown = {latent: _images([r for r in found if r["latent"] == latent and r["seed"] == first]) for latent in latents}
    shown = {latent: named for latent, named in shown.items() if named}
    most = max(map(len, shown.values()))
    width = max(15, 5.2 * len(shown))
    # An image is as wide as there is room for, beside the methods' names.
    rows = most * min(1.1, width / len(shown) / (SHOWN + 2))
    figure = plt.figure(figsize=(width, rows + 4.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(rows, 4.2))
    for (latent, named), part in zip(shown.items(), np.atleast_1d(top.subfigures(1, len(shown))), strict=True):
        _grid(part, f"{latent} latents", named, most)
    methods = list(dict.fromkeys(run["row"].title for run in found))
    *axes, last = bottom.subplots(1, len(SHOWN_COLUMNS) + 1)
    for title, ax in zip(SHOWN_COLUMNS, axes, strict=True):
        name = names[title]
        for i, method in enumerate(methods):
            runs = [run for run in found if run["row"].title == method and name in run["metrics"]]
            at = sorted({run["latent"] for run in runs})
            y = [np.mean([r["metrics"][name] for r in runs if r["latent"] == latent]) for latent in at]
            ax.plot(at, y, ms=4, lw=1.3, label=method, **style(i))
        ax.set(title=title, xlabel="latents", xscale="log", yscale="log", xticks=latents, xticklabels=latents)
        ax.minorticks_off()
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.spines[["top", "right"]].set_visible(False)
    _noise_levels(last, [run for run in found if run["latent"] == latents[0] and run["seed"] == first], methods)
    bottom.legend(*ax.get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _noise_levels(ax: plt.Axes, found: list[dict[str, Any]], methods: list[str]) -> None:
    """mse of E[x_0 | x_t, z] against logSNR, and at its left end that of a regression on z alone, in the method's colour."""
    for run in found:
        metrics, shown = run["metrics"], style(methods.index(run["row"].title))
        levels = sorted(float(n.split("/")[1]) for n in metrics if n.startswith("noise_level/") and n.endswith("/mse"))
        if levels:
            ax.plot(levels, [metrics[f"noise_level/{level:.1f}/mse"] for level in levels], lw=1.3, ms=0, **shown)
            # Where x_t says nothing z is all there is.
            ax.plot(levels[0], metrics["from_z/kernel_mse"], marker="_", ms=12, color=shown["color"])
    ax.set(title=f"E[x_0 | x_t, z], {found[0]['latent']} latents", xlabel="logSNR", ylabel="mse", yscale="log")
    ax.spines[["top", "right"]].set_visible(False)


def _images(found: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    named: dict[str, np.ndarray] = {}
    for run in found:
        images = read_pictures(run["directory"])
        if not named:
            named = {name: images[name] for name in ("original", "PCA")}
        named[run["row"].title] = images["reconstruction"]
    return named


def _grid(part: Any, title: str, named: dict[str, np.ndarray], rows: int) -> None:
    part.suptitle(title, fontsize=10)
    axes = part.subplots(rows, SHOWN, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for (name, images), line in zip(named.items(), axes, strict=False):
        for image, ax in zip(images, line, strict=False):
            ax.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
