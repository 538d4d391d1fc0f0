"""Figures: rows and grids of images, training curves, lines, and plots of the latent space.

Each function returns a matplotlib Figure, which a notebook shows, and saves it as a PNG where a path is given. All figures are equally
wide and all their text is of one size, so that a page which shows them equally wide has labels of one size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from sde_vae.printing import printable

# Inches, points, and dots per inch of a saved figure.
WIDTH, FONT_SIZE, DPI = 6.4, 10, 150
# Inches: an image at most, the line of text above a row of images, and a margin.
MAX_IMAGE, LABEL_HEIGHT, MARGIN = 0.8, 0.23, 0.05
# Images smaller than this many pixels are enlarged, so that gaps between them are narrow.
MIN_PIXELS = 64
# A heat map with more columns names every second, third, ... of them.
MAX_COLUMN_LABELS = 20
# Characters of the name of an attribute beside a panel.
LONGEST_NAME = 32
# x and y of the points of a line.
Line = tuple[Sequence[float], Sequence[float]]


class Panel(NamedTuple):
    """Named lines over x, and named constants, which are horizontal lines."""

    title: str
    x: str
    y: str
    lines: dict[str, Line]
    constants: dict[str, float]
    log_y: bool
    log_x: bool = True


class Bars(NamedTuple):
    """One bar for each of the heights [n]; those not in the mask `active` [n] are grey."""

    title: str
    x: str
    y: str
    heights: np.ndarray
    active: np.ndarray


class Scatter(NamedTuple):
    """Points [n, 2], coloured by an attribute: (name, [n] numbers), or None; `values` has names of its values 0, 1, ..., or none."""

    title: str
    x: str
    y: str
    points: np.ndarray
    attribute: tuple[str, np.ndarray] | None
    values: tuple[str, ...] = ()


class HeatMap(NamedTuple):
    """values[i, j] >= 0 of row i and column j, with the names of rows and columns; `colour` names the quantity."""

    title: str
    x: str
    colour: str
    rows: list[str]
    columns: list[str]
    values: np.ndarray


def plain(name: str, longest: int = 100) -> str:
    """Return a name, which may come from the data, so that matplotlib shows it letter by letter: no `$` begins a formula. A long one is cut.

    >>> print(plain("$x_{"))
    \\$x_{
    """
    shown = printable(name)
    return (shown if len(shown) <= longest else f"{shown[: longest - 1]}…").replace("$", r"\$")


def rows(named: dict[str, np.ndarray], path: Path | None = None) -> Figure:
    """Show one row of images for each name, the name above it. Images are [n, H, W, C] on [0, 1], all of one size."""
    height, width = next(iter(named.values())).shape[1:3]
    cell = min(MAX_IMAGE, (WIDTH - 2 * MARGIN) / max(map(len, named.values())))
    row_height = LABEL_HEIGHT + cell * height / width + MARGIN
    total = row_height * len(named) + MARGIN
    figure = Figure(figsize=(WIDTH, total))
    for i, (name, images) in enumerate(named.items()):
        top = total - i * row_height - MARGIN
        figure.text(MARGIN / WIDTH, (top - 0.04) / total, plain(name), va="top")
        _add_images(figure, _tiled(images, len(images)), (MARGIN, top - row_height + MARGIN, cell * len(images)))
    return _finished(figure, path)


def grid(images: np.ndarray, path: Path | None = None, columns: int | None = None) -> Figure:
    """Show images [n, H, W, C] on [0, 1] in a grid with so many columns, by default a square one."""
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    tiled = _tiled(images, columns)
    width = min(WIDTH - 2 * MARGIN, 2 * MAX_IMAGE * columns)
    figure = Figure(figsize=(WIDTH, width * tiled.shape[0] / tiled.shape[1] + 2 * MARGIN))
    _add_images(figure, tiled, (MARGIN, MARGIN, width))
    return _finished(figure, path)


def curves(logged: dict[str, list[dict[str, Any]]], path: Path | None = None) -> Figure:
    """Plot the loss and its terms against the steps for each stage, from the rows of its log.

    Faint lines are the values as logged, strong ones a running mean over a twentieth of the run. Rows without a term are left out of its
    line, and a stage without rows has no panel; without any, the figure says so.
    """
    logged = {stage: log for stage, log in logged.items() if log}
    if not logged:
        figure, axes = subplots(1, 1, (WIDTH, 1.0))
        axes[0, 0].axis("off")
        axes[0, 0].text(0.5, 0.5, "no step was logged", ha="center", va="center")
        return _finished(figure, path)
    columns = min(2, len(logged))
    lines_of_panels = -(-len(logged) // columns)
    figure, axes = subplots(lines_of_panels, columns, (WIDTH, 2.7 * lines_of_panels))
    for ax in axes.flat[len(logged) :]:
        ax.axis("off")
    for (stage, log), ax in zip(logged.items(), axes.flat, strict=False):
        for name in dict.fromkeys(name for row in log for name in row if name.split("/")[0] == "loss"):
            points = [(row["step"], row[name]) for row in log if row.get(name) is not None]
            if not points:
                continue
            steps, values = np.asarray(points, float).T
            window = max(1, len(values) // 20)
            smooth = np.convolve(values, np.ones(window) / window, mode="valid")
            (line,) = ax.plot(steps[window - 1 :], smooth, label=plain(name), lw=1.5)
            ax.plot(steps, values, color=line.get_color(), alpha=0.2, lw=0.8)
        ax.set(title=f"stage {plain(stage)}", xlabel="step", ylabel="nats per image", yscale="log")
        if ax.lines:
            ax.legend(frameon=False)
    return _finished(figure, path)


def lines(panels: Sequence[Panel], path: Path | None = None) -> Figure:
    """Plot panels one above the other."""
    figure, axes = subplots(len(panels), 1, (WIDTH, 3.4 * len(panels)))
    for panel, ax in zip(panels, axes[:, 0], strict=True):
        for name, (x, y) in panel.lines.items():
            ax.plot(x, y, label=plain(name), marker="o", ms=3, lw=1.5)
        for i, (name, y) in enumerate(panel.constants.items()):
            ax.axhline(y, label=plain(name), color="black", lw=1, ls=("--", ":", "-.")[i % 3])
        ax.set(
            title=panel.title,
            xlabel=panel.x,
            ylabel=panel.y,
            xscale="log" if panel.log_x else "linear",
            yscale="log" if panel.log_y else "linear",
        )
        ax.legend(frameon=False)
    return _finished(figure, path)


def bars_and_scatter(bars: Bars, scatter: Scatter, path: Path | None = None) -> Figure:
    """Plot bars above a scatter plot; an attribute of at most 10 values has a legend, any other a colour bar."""
    figure, axes = subplots(2, 1, (WIDTH, 6.0), height_ratios=(2, 3))
    top, bottom = axes[:, 0]
    top.bar(np.arange(1, len(bars.heights) + 1), bars.heights, color=np.where(bars.active, "tab:blue", "lightgrey"))
    top.set(title=bars.title, xlabel=bars.x, ylabel=bars.y)
    top.xaxis.get_major_locator().set_params(integer=True)
    name, values = scatter.attribute or ("", np.zeros(len(scatter.points)))
    name = plain(name, LONGEST_NAME)
    kinds = np.unique(values)
    if len(kinds) > 10:
        points = bottom.scatter(*scatter.points.T, c=values, s=6, cmap="viridis", linewidths=0)
        figure.colorbar(points, ax=bottom, label=name)
    else:
        for i, kind in enumerate(kinds):
            label = scatter.values[int(kind)] if scatter.values else f"{kind:g}"
            bottom.scatter(*scatter.points[values == kind].T, color=f"C{i}", s=6, linewidths=0, label=label)
        if scatter.attribute:
            bottom.legend(title=name, frameon=False, markerscale=2, bbox_to_anchor=(1, 1), loc="upper left")
    bottom.set(title=scatter.title, xlabel=scatter.x, ylabel=scatter.y)
    return _finished(figure, path)


def heat_map(shown: HeatMap, path: Path | None = None) -> Figure:
    """Show a matrix, white where it is 0; the figure is as high as its rows need."""
    height, width = shown.values.shape
    figure, axes = subplots(1, 1, (WIDTH, max(2.4, 0.24 * height + 1.0)))
    ax = axes[0, 0]
    # 1 where all values are 0: they stay white.
    largest = shown.values.max() or 1.0
    image = ax.imshow(shown.values, cmap="Blues", vmin=0, vmax=largest, aspect="auto", interpolation="nearest")
    for i in range(1, height):
        ax.axhline(i - 0.5, color="lightgrey", lw=0.5)
    labelled = range(0, width, -(-width // MAX_COLUMN_LABELS))
    ax.set_xticks(labelled, [plain(shown.columns[j], LONGEST_NAME) for j in labelled])
    ax.set_yticks(range(height), [plain(name, LONGEST_NAME) for name in shown.rows])
    ax.set(title=shown.title, xlabel=shown.x)
    # A colour bar as high as the map, of the same width beside any.
    figure.colorbar(image, ax=ax, label=shown.colour, fraction=0.03, pad=0.02, aspect=7 * figure.get_figheight())
    return _finished(figure, path)


def subplots(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, np.ndarray]:
    """Return (figure of `size` inches, its axes [rows, columns]). No global figure is kept, as pyplot would."""
    figure = Figure(figsize=size)
    return figure, figure.subplots(rows, columns, squeeze=False, gridspec_kw=options)


def _tiled(images: np.ndarray, columns: int) -> np.ndarray:
    """Return one image of all, in rows of `columns`, with white gaps: [H, W, 3]."""
    if images.shape[-1] == 4:  # on white
        images = 1 - images[..., 3:] * (1 - images[..., :3])
    scale = max(1, -(-MIN_PIXELS // max(images.shape[1:3])))
    images = np.broadcast_to(images, (*images.shape[:-1], 3)).repeat(scale, axis=1).repeat(scale, axis=2)
    n, height, width, _ = images.shape
    gap = max(1, width // 16)
    lines = -(-n // columns)
    canvas = np.ones((lines * columns, height + gap, width + gap, 3), np.float32)
    canvas[:n, :height, :width] = images
    canvas = canvas.reshape(lines, columns, height + gap, width + gap, 3).swapaxes(1, 2)
    return np.clip(canvas.reshape(lines * (height + gap), columns * (width + gap), 3), 0, 1)


def _add_images(figure: Figure, tiled: np.ndarray, place: tuple[float, float, float]) -> None:
    """Show an image at `place` in inches: (left, bottom, width)."""
    left, bottom, width = place
    height = width * tiled.shape[0] / tiled.shape[1]
    total_width, total_height = figure.get_size_inches()
    ax = figure.add_axes((left / total_width, bottom / total_height, width / total_width, height / total_height))
    ax.imshow(tiled, aspect="auto")
    ax.axis("off")


def _finished(figure: Figure, path: Path | None) -> Figure:
    """Set all text to one size, lay the panels out, and save the figure where a path is given."""
    for text in figure.findobj(Text):
        text.set_fontsize(FONT_SIZE)
    if figure.axes and figure.axes[0].get_subplotspec() is not None:
        figure.tight_layout(pad=0.4, h_pad=1.2)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI)
    return figure
