"""Figures: grids of images, training curves, lines, and plots of the latent space.

Each function returns a matplotlib Figure, which a notebook shows, and saves it as a PNG where a path is given.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DPI = 120
# So many columns of a heat map have room for their names.
NAMED = 32
# x and y of the points of a line.
Line = tuple[Sequence[float], Sequence[float]]


class Panel(NamedTuple):
    """Named lines over x, and named levels that do not depend on x."""

    title: str
    x: str
    y: str
    lines: dict[str, Line]
    levels: dict[str, float]
    log_y: bool
    log_x: bool = True


def rows(named: dict[str, np.ndarray], path: Path | None = None) -> Figure:
    """One row of images a name, the name at its left. Images are [n, H, W, C] on [0, 1], the same n in every row."""
    n = len(next(iter(named.values())))
    figure, axes = subplots(len(named), n, (0.75 * n + 1.2, 0.8 * len(named)))
    for (name, images), line in zip(named.items(), axes, strict=True):
        for image, ax in zip(images, line, strict=False):
            _show(ax, image)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    return _finished(figure, path)


def grid(images: np.ndarray, path: Path | None = None) -> Figure:
    """A square grid of [n, H, W, C] images on [0, 1]."""
    side = int(np.ceil(np.sqrt(len(images))))
    figure, axes = subplots(side, side, (0.7 * side, 0.7 * side))
    for ax in axes.flat:
        ax.axis("off")
    for image, ax in zip(images, axes.flat, strict=False):
        _show(ax, image)
    return _finished(figure, path)


def curves(logged: dict[str, list[dict[str, Any]]], path: Path | None = None) -> Figure:
    """The loss of each stage, of whose log these are the rows, against its steps: faint, with a running mean over a twentieth of the run."""
    figure, axes = subplots(1, len(logged), (4.2 * len(logged), 2.8))
    for (stage, rows), ax in zip(logged.items(), axes[0], strict=True):
        steps = np.asarray([row["step"] for row in rows])
        for name in (name for name in rows[0] if name.split("/")[0] == "loss"):
            values = np.asarray([row[name] for row in rows])
            window = max(1, len(values) // 20)
            smooth = np.convolve(values, np.ones(window) / window, mode="valid")
            (line,) = ax.plot(steps[window - 1 :], smooth, label=name, lw=1.5)
            ax.plot(steps, values, color=line.get_color(), alpha=0.2, lw=0.8)
        ax.set(title=stage, xlabel="step", ylabel="nats per image", yscale="log")
        ax.legend(fontsize=8, frameon=False)
    return _finished(figure, path)


def lines(panels: Sequence[Panel], path: Path | None = None) -> Figure:
    """Panels side by side."""
    figure, axes = subplots(1, len(panels), (4.6 * len(panels), 3.4))
    for panel, ax in zip(panels, axes[0], strict=True):
        for name, (x, y) in panel.lines.items():
            ax.plot(x, y, label=name, marker="o", ms=3, lw=1.5)
        for i, (name, y) in enumerate(panel.levels.items()):
            ax.axhline(y, label=name, color="black", lw=1, ls=("--", ":", "-.")[i % 3])
        ax.set(
            title=panel.title,
            xlabel=panel.x,
            ylabel=panel.y,
            xscale="log" if panel.log_x else "linear",
            yscale="log" if panel.log_y else "linear",
        )
        ax.legend(fontsize=8, frameon=False)
    return _finished(figure, path)


def subplots(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Return (figure of `size` inches, its axes [rows, columns]). No global figure is kept, as pyplot would."""
    figure = Figure(figsize=size)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _show(ax: Axes, image: np.ndarray) -> None:
    ax.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)


def _finished(figure: Figure, path: Path | None) -> Figure:
    figure.tight_layout(pad=0.4)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI)
    return figure


class Bars(NamedTuple):
    """One bar a height, [n]; those that are not `strong`, [n], are grey."""

    title: str
    x: str
    y: str
    heights: np.ndarray
    strong: np.ndarray


class Cloud(NamedTuple):
    """Points of the plane, [n, 2], coloured by what is known of them: its name and [n] numbers, or None."""

    title: str
    x: str
    y: str
    points: np.ndarray
    known: tuple[str, np.ndarray] | None


def bars_and_cloud(bars: Bars, cloud: Cloud, path: Path | None = None) -> Figure:
    """Side by side."""
    figure, axes = subplots(1, 2, (9.2, 3.8))
    left, right = axes[0]
    left.bar(np.arange(1, len(bars.heights) + 1), bars.heights, color=np.where(bars.strong, "tab:blue", "lightgrey"))
    left.set(title=bars.title, xlabel=bars.x, ylabel=bars.y)
    left.xaxis.get_major_locator().set_params(integer=True)
    name, values = cloud.known or ("", np.zeros(len(cloud.points)))
    kinds = np.unique(values)
    if len(kinds) > 10:
        shown = right.scatter(*cloud.points.T, c=values, s=6, cmap="viridis", linewidths=0)
        figure.colorbar(shown, ax=right, label=name)
    else:
        for i, kind in enumerate(kinds):
            right.scatter(*cloud.points[values == kind].T, color=f"C{i}", s=6, linewidths=0, label=f"{kind:g}")
        if cloud.known:
            right.legend(title=name, fontsize=8, frameon=False, markerscale=2, bbox_to_anchor=(1, 1), loc="upper left")
    right.set(title=cloud.title, xlabel=cloud.x, ylabel=cloud.y)
    return _finished(figure, path)


class HeatMap(NamedTuple):
    """values[i, j] >= 0 is that of the i-th of `rows` and the j-th of `columns`, which are their names; `colour` says what it is."""

    title: str
    x: str
    colour: str
    rows: list[str]
    columns: list[str]
    values: np.ndarray


def heat_map(shown: HeatMap, path: Path | None = None) -> Figure:
    """As wide as `bars_and_cloud`, and as high as its rows are many. Of many columns every second, third, ... has its name below it."""
    high, wide = shown.values.shape
    figure, axes = subplots(1, 1, (9.2, max(2.4, 0.24 * high + 1.0)))
    ax = axes[0, 0]
    # White is nothing, even where there is nothing else.
    most = shown.values.max() or 1.0
    image = ax.imshow(shown.values, cmap="Blues", vmin=0, vmax=most, aspect="auto", interpolation="nearest")
    for i in range(1, high):
        ax.axhline(i - 0.5, color="lightgrey", lw=0.5)
    named = range(0, wide, -(-wide // NAMED))
    ax.set_xticks(named, [shown.columns[j] for j in named], fontsize=7)
    ax.set_yticks(range(high), shown.rows, fontsize=8)
    ax.set(title=shown.title, xlabel=shown.x)
    # As high as the map, and equally thin beside any.
    figure.colorbar(image, ax=ax, label=shown.colour, fraction=0.03, pad=0.02, aspect=7 * figure.get_figheight())
    return _finished(figure, path)
