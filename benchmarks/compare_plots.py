"""The pictures of the comparison."""

from pathlib import Path
from typing import Any

import matplotlib
from compare_kept import SHOWN, read_pictures
from compare_rows import in_order

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator

# In inches.
WIDTH = 15
# Above the methods.
BESIDE = ("original", "PCA")
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
    looks = _looks(found)
    shown = {latent: _images([r for r in found if r["latent"] == latent and r["seed"] == first]) for latent in latents}
    shown = {latent: named for latent, named in shown.items() if named}
    rows = [name for name in (*BESIDE, *looks) if any(name in named for named in shown.values())]
    # An image is as wide as there is room for, beside the methods' names, and all of them no higher than wide.
    height = len(rows) * min(0.7, (WIDTH - 3) / len(shown) / SHOWN, WIDTH / len(rows)) * 1.05 + 0.3
    below = 4.6 if len(latents) > 1 else max(2.6, 0.2 * len(looks) + 0.6)
    figure = plt.figure(figsize=(WIDTH, height + below), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(height, below))
    _grid(top, rows, shown)
    *axes, last = bottom.subplots(1, len(SHOWN_COLUMNS) + 1)
    for title, ax in zip(SHOWN_COLUMNS, axes, strict=True):
        having = [run for run in found if names[title] in run["metrics"]]
        (_against_size if len(latents) > 1 else _bars)(ax, having, names[title], looks)
        ax.set_title(title)
        ax.spines[["top", "right"]].set_visible(False)
    of_first = [run for run in found if run["latent"] == latents[0] and run["seed"] == first]
    size = f", {latents[0]} latents" if len(latents) > 1 else ""
    _noise_levels(last, f"E[x_0 | x_t, z]{size}", of_first, looks)
    if len(latents) > 1:
        bottom.legend(
            *axes[0].get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside lower center", ncols=4
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _looks(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Method -> its line: that of the same on draws as well is dashed, its marks hollow."""
    rows = {run["row"].title: run["row"] for run in found}
    sizes = {(run["seed"], run["latent"]) for run in found}
    titles = in_order([r["row"].title for r in found if (r["seed"], r["latent"]) == size] for size in sorted(sizes))
    rows = {title: rows[title] for title in titles}
    families = list(dict.fromkeys(row.name.removesuffix("_draws") for row in rows.values()))
    of_draws = {"ls": "--", "mfc": "white"}
    return {
        title: style(families.index(row.name.removesuffix("_draws"))) | (of_draws if row.changes.get("draws.n") else {})
        for title, row in rows.items()
    }


def _against_size(ax: plt.Axes, found: list[dict[str, Any]], name: str, looks: dict[str, dict[str, Any]]) -> None:
    latents = sorted({run["latent"] for run in found})
    for method, look in looks.items():
        at = [_metrics(found, method, name, latent) for latent in latents]
        told = [(latent, np.mean(values)) for latent, values in zip(latents, at, strict=True) if values]
        ax.plot(*(zip(*told, strict=True) if told else ([], [])), ms=4, lw=1.3, label=method, **look)
    ax.set(xlabel="latents", xscale="log", yscale="log", xticks=latents, xticklabels=latents)
    ax.minorticks_off()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    ax.yaxis.set_major_formatter("{x:g}")


def _bars(ax: plt.Axes, found: list[dict[str, Any]], name: str, looks: dict[str, dict[str, Any]]) -> None:
    """Of one size: a bar a method, the first on top, with its standard error over the images, where it has one, of the first seed."""
    for place, (method, look) in enumerate(looks.items()):
        if values := _metrics(found, method, name):
            error = next(iter(_metrics(found, method, f"{name}_stderr")), None)
            ax.barh(place, np.mean(values), xerr=error, color=look["color"], capsize=2)
    ax.set_ylim(len(looks) - 0.5, -0.5)
    names = list(looks) if ax.get_subplotspec().is_first_col() else []
    ax.set_yticks(range(len(looks)), names or [""] * len(looks), fontsize=8)


def _metrics(found: list[dict[str, Any]], method: str, name: str, latent: int | None = None) -> list[float]:
    """One a seed."""
    return [
        run["metrics"][name]
        for run in found
        if run["row"].title == method and latent in (None, run["latent"]) and name in run["metrics"]
    ]


def _noise_levels(ax: plt.Axes, title: str, found: list[dict[str, Any]], looks: dict[str, dict[str, Any]]) -> None:
    """mse of E[x_0 | x_t, z] against logSNR, and at its left end that of a regression on z alone, in the method's colour."""
    for run in found:
        metrics, look = run["metrics"], looks[run["row"].title]
        levels = sorted(float(n.split("/")[1]) for n in metrics if n.startswith("noise_level/") and n.endswith("/mse"))
        if levels:
            ax.plot(
                levels, [metrics[f"noise_level/{level:.1f}/mse"] for level in levels], lw=1.3, **look | {"marker": ""}
            )
            # Where x_t says nothing z is all there is.
            ax.plot(levels[0], metrics["from_z/kernel_mse"], marker="_", ms=12, color=look["color"])
    ax.set(title=title, xlabel="logSNR", ylabel="mse", yscale="log")
    ax.spines[["top", "right"]].set_visible(False)


def _images(found: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    named: dict[str, np.ndarray] = {}
    for run in found:
        images = read_pictures(run["directory"])
        if not named:
            named = {name: images[name] for name in BESIDE}
        named[run["row"].title] = images["reconstruction"]
    return named


def _grid(part: Any, rows: list[str], shown: dict[int, dict[str, np.ndarray]]) -> None:
    """A row a method, a column a latent size; empty, where a method was not run."""
    axes = part.subplots(len(rows), len(shown), squeeze=False)
    for line, name in zip(axes, rows, strict=True):
        for ax, named in zip(line, shown.values(), strict=True):
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            empty = np.ones_like(named[BESIDE[0]])
            ax.imshow(_strip(named.get(name, empty)), cmap="gray", vmin=0, vmax=1)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for ax, latent in zip(axes[0], shown, strict=True):
        ax.set_title(f"{latent} latents", fontsize=10)


def _strip(images: np.ndarray) -> np.ndarray:
    """[n, H, W, C] -> side by side, white between them."""
    gap = max(1, images.shape[2] // 16)
    apart = np.pad(images, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=1)
    strip = np.concatenate(apart, axis=1)[:, :-gap]
    return strip[..., 0] if strip.shape[-1] == 1 else strip
