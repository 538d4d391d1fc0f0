"""The picture of the comparison: reconstructions by every method, and panels of its figures below."""

from math import ceil
from pathlib import Path
from typing import Any

import matplotlib
from compare_kept import SHOWN, read_pictures
from compare_rows import Row

matplotlib.use("Agg")
import compare_panels
import matplotlib.pyplot as plt
import numpy as np

# In inches: the picture, its largest image, the names beside the images.
WIDTH, IMAGE, NAMES = 15, 0.7, 3
REFERENCES = ("original", "mean image", "PCA")


def draw(found: list[dict[str, Any]], names: dict[str, str], path: Path) -> None:
    """The same images by every method, each at the first seed that it has of a latent size; `found` is in the order of the table."""
    methods = looks(found)
    latents = sorted({run["latent"] for run in found})
    shown = {latent: _images([run for run in found if run["latent"] == latent]) for latent in latents}
    rows = [*(name for name in REFERENCES if any(name in images for images in shown.values())), *methods]
    columns = {title: names[title] for title in compare_panels.COLUMNS if _is_told(found, names[title])}
    # An image is as wide as there is room for, and all of them no higher than wide.
    height = 0.3 + 1.05 * len(rows) * min(IMAGE, (WIDTH - NAMES) / len(shown) / SHOWN, WIDTH / len(rows))
    below = 0.2 * ceil(len(methods) / compare_panels.ABREAST) + max(3.6, 0.2 * len(methods) * (len(latents) == 1))
    figure = plt.figure(figsize=(WIDTH, height + below), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(height, below))
    _grid(top, rows, shown)
    compare_panels.draw(bottom, found, columns, methods)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def looks(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Method -> its line, in the order of `found`. What is trained on draws as well looks like what is not, but dashed and hollow."""
    rows = {run["row"].title: run["row"] for run in found}
    families = list(dict.fromkeys(_family(row) for row in rows.values()))
    on_draws = {"ls": "--", "mfc": "white"}
    return {
        title: style(families.index(_family(row))) | (on_draws if row.on_draws else {"ls": "-"})
        for title, row in rows.items()
    }


def style(i: int) -> dict[str, Any]:
    """Of 40 methods: ten colours, dark and pale, each with four kinds of line and mark."""
    dark, pale = plt.get_cmap("tab20").colors[::2], plt.get_cmap("tab20").colors[1::2]
    return {
        "color": (*dark, *pale)[i % 20],
        "ls": ("-", "--", ":", "-.")[i // 10 % 4],
        "marker": "os^D"[i // 10 % 4],
    }


def _family(row: Row) -> tuple[Any, ...]:
    """What rows have in common that differ in draws alone."""
    changes = {name: value for name, value in row.changes.items() if not name.startswith("draws.")}
    return row.swapped, row.stages, *sorted(changes.items())


def _is_told(found: list[dict[str, Any]], name: str) -> bool:
    return any(name in run["metrics"] for run in found)


def _images(found: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    named: dict[str, np.ndarray] = {}
    for run in sorted(found, key=lambda run: run["seed"]):
        images = read_pictures(run["directory"])
        for name in REFERENCES:
            if name in images:
                named.setdefault(name, images[name])
        named.setdefault(run["row"].title, images["reconstruction"])
    return named


def _grid(part: Any, rows: list[str], shown: dict[int, dict[str, np.ndarray]]) -> None:
    """A row a method, a column a latent size; empty, where a method was not run."""
    axes = part.subplots(len(rows), len(shown), squeeze=False)
    for line, name in zip(axes, rows, strict=True):
        for ax, named in zip(line, shown.values(), strict=True):
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            empty = np.ones_like(named[REFERENCES[0]])
            ax.imshow(strip(named.get(name, empty)), cmap="gray", vmin=0, vmax=1)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for ax, latent in zip(axes[0], shown, strict=True):
        ax.set_title(f"{latent} latents", fontsize=10)


def strip(images: np.ndarray) -> np.ndarray:
    """[n, H, W, C] -> side by side, white between them: [H, n (W + gap) - gap, C], or of one channel [H, n (W + gap) - gap]."""
    gap = max(1, images.shape[2] // 16)
    apart = np.pad(images, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=1)
    joined = np.concatenate(apart, axis=1)[:, :-gap]
    return joined[..., 0] if joined.shape[-1] == 1 else joined
