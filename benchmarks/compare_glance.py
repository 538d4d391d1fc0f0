"""The comparison at a glance: one row a method, and in each cell one figure a latent size."""

from collections.abc import Iterable
from typing import Any

COLUMNS = ("l2", "l2, average", "mse, limit", "LPIPS", "LPIPS, average", "rFD", "rFD, all", "rKID", "KL", "bits/dim")


def glance(figures: list[dict[str, Any]], methods: list[str]) -> list[list[str]]:
    """Of what is told of each method and latent size, the methods in that order. The first row is the head."""
    sizes = sorted({told["latent"] for told in figures})
    columns = [column for column in COLUMNS if any(column in told for told in figures)]
    figures = [told for told in figures if any(column in told for column in columns)]
    of = {(told["method"], told["latent"]): told for told in figures}

    def cells(method: str) -> list[str]:
        found = [of.get((method, size), {}) for size in sizes]
        # How many were run.
        seeds = [str(len(told["seeds"]["l2"])) if told else "-" for told in found]
        return [seeds[0] if len(set(seeds)) == 1 else _slashed(seeds), *(_column(found, column) for column in columns)]

    head = [f"latents {_slashed(map(str, sizes))}", "seeds", *columns]
    told_of = {told["method"] for told in figures}
    return [head, *([method, *cells(method)] for method in methods if method in told_of)]


def _column(found: list[dict[str, Any]], column: str) -> str:
    """Three digits of each; nothing, where no size has one."""
    values = [told.get(column) for told in found]
    if all(value is None for value in values):
        return ""
    return _slashed("-" if value is None else _short(value) for value in values)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def _slashed(cells: Iterable[str]) -> str:
    return " / ".join(cells)
