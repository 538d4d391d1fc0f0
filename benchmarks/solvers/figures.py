"""Turns the measurements of each candidate into the figures of the benchmark of the solvers."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.solvers.candidates import Candidate
from sde_vae.metrics.image.distances import standard_error

# Lower is better. The first two are means over images, the last is of the whole set.
PER_IMAGE = ("l2", "lpips_alex")
DISTANCES = (*PER_IMAGE, "fd")
Measured = dict[str, Any]
Row = dict[str, Any]


def figures(
    references: list[tuple[Candidate, list[Measured]]],
    decoded: list[tuple[Candidate, list[Measured]]],
    inverted: list[tuple[Candidate, Measured]],
) -> dict[str, Any]:
    """Each candidate is decoded once a seed. The reference is the one of `references` whose l2 is least.

    A candidate equals the reference in a metric where it is at most a standard error (of the reference) above it; "paired" is
    stricter: their difference on the same images and draws is at most its own standard error.
    """
    best = min(references, key=lambda r: _mean(r[1], "l2"))
    rows = [_row(candidate, measured, best[1]) for candidate, measured in decoded]
    reference = _row(*best, best[1])
    paired = lambda row, metric: row[f"{metric}_minus_reference"] <= (row[f"{metric}_minus_reference_stderr"] or 0)
    within = lambda row, metric: row[metric] <= reference[metric] + (reference[f"{metric}_stderr"] or 0)
    name = f"nfe_equal_to_em{reference['steps']}"
    by_metric = {metric: first(rows, [metric], within) for metric in DISTANCES}
    at_10 = {m: least(rows, m, 10) for m in DISTANCES}
    return {
        "reference": reference,
        "references": [_row(candidate, measured, best[1]) for candidate, measured in references],
        "rows": rows,
        "inversion": [_inversion_row(candidate, measured) for candidate, measured in inverted],
        name: by_metric["l2"] and by_metric["l2"]["nfe"],
        f"{name}_by_metric": by_metric,
        f"{name}_in_all_metrics": first(rows, DISTANCES, within),
        f"{name}_paired_by_metric": {metric: first(rows, [metric], paired) for metric in DISTANCES},
        f"{name}_paired_in_all_metrics": first(rows, DISTANCES, paired),
        "within_5_percent_at_10": at_10["l2"] and at_10["l2"]["l2"] / reference["l2"],
        "at_10_over_reference_by_metric": {
            m: row and {"ratio": row[m] / reference[m], "solver": row["solver"], "grid": row["grid"], "nfe": row["nfe"]}
            for m, row in at_10.items()
        },
    }


def _row(candidate: Candidate, measured: list[Measured], reference: list[Measured]) -> Row:
    row: Row = {"solver": candidate.solver, "grid": candidate.grid, "steps": candidate.steps, "nfe": candidate.nfe}
    if not all(measured):
        return row | {"not_finite": sum(not m for m in measured)}
    for metric in (*PER_IMAGE, "psnr", "fd"):
        ours, theirs = _values(measured, metric), _values(reference, metric)
        row |= _with_error(metric, ours) | _with_error(f"{metric}_minus_reference", ours - theirs)
    return row


def _inversion_row(candidate: Candidate, measured: Measured) -> Row:
    row = {"solver": candidate.solver, "grid": candidate.grid, "steps": candidate.steps, "nfe": candidate.nfe}
    return row | (_with_error("psnr", np.asarray(measured["psnr"])) if measured else {"not_finite": 1})


def _values(measured: list[Measured], metric: str) -> np.ndarray:
    """The values whose mean and error are reported: [n] images, each a mean over the seeds; for a metric of sets [seeds]."""
    values = np.asarray([m[metric] for m in measured], np.float64)
    return values.mean(axis=0) if values.ndim == 2 else values


def _mean(measured: list[Measured], metric: str) -> float:
    return float(_values(measured, metric).mean()) if all(measured) else math.inf


def _with_error(name: str, values: np.ndarray) -> Row:
    """One value has no standard error: None."""
    error = standard_error(values)
    return {name: float(values.mean()), f"{name}_stderr": error if math.isfinite(error) else None}


def first(rows: list[Row], metrics: Sequence[str], good: Callable[[Row, str], bool]) -> Row | None:
    """Return the row with the fewest evaluations that is good in all these metrics; of several, the least in the first of them."""
    found = [row for row in rows if "not_finite" not in row and all(good(row, m) for m in metrics)]
    return min(found, key=lambda row: (row["nfe"], row[metrics[0]]), default=None)


def least(rows: list[Row], metric: str, most: int) -> Row | None:
    found = [row for row in rows if "not_finite" not in row and row["nfe"] <= most]
    return min(found, key=lambda row: row[metric], default=None)
