"""The picture of a comparison: reconstructions by every method, and panels of its metrics below."""

from math import ceil
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.comparison import panels
from benchmarks.comparison.page import complete
from benchmarks.comparison.results import SHOWN, Results, decode

# In inches: the picture, its largest image, the names beside the images.
WIDTH, IMAGE, NAMES = 15, 0.7, 3


def draw(results: Results) -> Figure:
    """The same images by every method, each of the first seed that it has of a latent size; metrics below."""
    frame = complete(results.frame())
    frame = frame[frame["row"].notna()]
    looks, latents = looks_of(frame), sorted(frame["latent"].unique())
    shown = {latent: images_of(results, frame, latent) for latent in latents}
    rows = [*(n for n in ("original", "mean image", "PCA") if any(n in of for of in shown.values())), *looks]
    # An image is as wide as there is room for, and all of them together no higher than wide.
    height = 0.3 + 1.05 * len(rows) * min(IMAGE, (WIDTH - NAMES) / len(shown) / SHOWN, WIDTH / len(rows))
    below = 0.2 * ceil(len(looks) / panels.ABREAST) + max(3.6, 0.2 * len(looks) * (len(latents) == 1))
    figure = plt.figure(figsize=(WIDTH, height + below), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(height, below))
    _grid(top, rows, shown)
    panels.draw(bottom, frame, looks)
    return figure


def looks_of(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Method -> its line, in the order of `frame`. With synthetic images: the same, but dashed and hollow."""
    rows = dict(zip(frame["method"], frame["row"], strict=True))
    families = list(dict.fromkeys(row.removesuffix("_synthetic") for row in rows.values()))
    dashed = {True: {"ls": "--", "mfc": "white"}, False: {"ls": "-"}}
    return {
        method: style(families.index(row.removesuffix("_synthetic"))) | dashed[row.endswith("_synthetic")]
        for method, row in rows.items()
    }


def style(i: int) -> dict[str, Any]:
    """Of 40 methods: ten colours, dark and pale, with four kinds of line and mark."""
    colours = plt.get_cmap("tab20").colors
    kind = i // 10 % 4
    return {
        "color": (*colours[::2], *colours[1::2])[i % 20],
        "ls": ("-", "--", ":", "-.")[kind],
        "marker": "os^D"[kind],
    }


def images_of(results: Results, frame: pd.DataFrame, latent: int) -> dict[str, np.ndarray]:
    """Title -> [n, H, W, C]: the references, and every method that was run with this latent size."""
    named = {name.removesuffix(f", {latent}"): strip for name, strip in results.references.items()}
    first = frame[(frame["latent"] == latent) & (frame["image"] != "")].sort_values("seed").drop_duplicates("method")
    named |= dict(zip(first["method"], first["image"], strict=True))
    return {name: decode(strip) for name, strip in named.items() if not name.startswith("PCA,")}


def _grid(part: Any, rows: list[str], shown: dict[int, dict[str, np.ndarray]]) -> None:
    """A row a method, a column a latent size; empty, where a method was not run."""
    axes = part.subplots(len(rows), len(shown), squeeze=False)
    for line, name in zip(axes, rows, strict=True):
        for ax, named in zip(line, shown.values(), strict=True):
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            ax.imshow(strip(named.get(name, np.ones_like(named["original"]))), cmap="gray", vmin=0, vmax=1)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for ax, latent in zip(axes[0], shown, strict=True):
        ax.set_title(f"{latent} latents", fontsize=10)


def strip(images: np.ndarray) -> np.ndarray:
    """[n, H, W, C] -> side by side with white between: [H, n (W + gap) - gap, C], of one channel [H, n (W + gap) - gap]."""
    gap = max(1, images.shape[2] // 16)
    apart = np.pad(images, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=1)
    joined = np.concatenate(apart, axis=1)[:, :-gap]
    return joined[..., 0] if joined.shape[-1] == 1 else joined
