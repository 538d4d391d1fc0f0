"""Two runs of the benchmark of the solvers side by side: evaluations to equal quality."""

import json
from typing import Any

from benchmarks.record import RESULTS, Made
from benchmarks.solvers.figures import DISTANCES, Row, first, least
from benchmarks.solvers.page import cell

Found = dict[str, Any]


def beside(names: dict[str, str], result: str) -> Made:
    """Return the table of evaluations to equal quality: a row for each metric and run.

    `names` has {result: label}, the one to equal first. A row equals a reference where it is at most a standard error of the
    reference above it. Only the solvers and grids that all of the results have are compared.
    """
    found: dict[str, Found] = {name: json.loads((RESULTS / f"{name}.json").read_text())["figures"] for name in names}
    shared = set.intersection(*({(row["solver"], row["grid"]) for row in of["rows"]} for of in found.values()))
    target = next(iter(found.values()))["reference"]
    label = next(iter(names.values()))
    head = ["metric", "prior", "reference", "NFE to equal it", f"NFE to equal that of {label}", "best, NFE ≤ 10"]
    rows = [head]
    for metric in DISTANCES:
        for name, of in found.items():
            own = [row for row in of["rows"] if (row["solver"], row["grid"]) in shared]
            rows.append(
                [
                    f"{of['fd'] if metric == 'fd' else metric} ↓",
                    names[name],
                    cell(of["reference"], metric),
                    _evaluations(own, metric, of["reference"]),
                    _evaluations(own, metric, target),
                    _named(least(own, metric, 10), metric),
                ]
            )
    of = found[result]
    caption = (
        f"{of['n']} images of the split {of['split']}, {of['seeds']} seeds. The reference is Euler-Maruyama with "
        f"{of['reference']['steps']} steps; equal is within one of its standard errors."
    )
    return rows, caption


def _evaluations(rows: list[Row], metric: str, reference: Row) -> str:
    """The fewest evaluations that equal the reference, and by which solver."""
    most = reference[metric] + (reference[f"{metric}_stderr"] or 0)
    row = first(rows, [metric], lambda row, metric: row[metric] <= most)
    return f"{row['nfe']} (`{row['solver']}`)" if row else "none"


def _named(row: Row | None, metric: str) -> str:
    return f"{cell(row, metric)} (`{row['solver']}`)" if row else "none"
