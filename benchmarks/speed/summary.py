"""The tables of this folder's results, for their own pages and for docs/speed.md. Nothing of PyTorch is imported."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.record import RESULTS, Made
from sde_vae.reporting.tables import figure

Rows = list[dict[str, Any]]


def of_result(make: Callable[[Rows], Made], result: str) -> Made:
    """make(rows) of benchmarks/results/RESULT.json."""
    return make(json.loads((RESULTS / f"{result}.json").read_text())["figures"]["rows"])


def label(row: dict[str, Any]) -> str:
    """The name of a row of step_time."""
    return f"{row['kind']}, {row['size']}, {threads(row['threads'])}"


def threads(n: int) -> str:
    return f"{n} thread{'s' * (n > 1)}"


def ratio(row: dict[str, Any], engine: str) -> str:
    """The ratio to an engine and its range, or nothing."""
    if (middle := row.get(f"ratio_to_{engine}")) is None:
        return ""
    low, high = row[f"ratio_to_{engine}_range"]
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def steps(rows: Rows) -> Made:
    """A row a step and size, with a ratio for each number of threads."""
    numbers = sorted({row["threads"] for row in rows})
    found: dict[tuple[str, str, str], dict[int, str]] = {}
    for row in rows:
        found.setdefault((row["kind"], row["size"], str(row["batch"])), {})[row["threads"]] = ratio(row, "torch")
    lines = [[*place, *(of.get(n, "") for n in numbers)] for place, of in found.items() if any(of.values())]
    caption = "PyTorch's time over ours, above 1 ours is faster: the median of the rounds [the least, the largest]."
    return [["step", "size", "batch", *map(threads, numbers)], *lines], caption


def errors(rows: Rows) -> Made:
    """A row a noise level."""
    names = [name for name in rows[0] if name != "log_snr"]
    lines = [[f"{row['log_snr']:g}", *(figure(row[name]) for name in names)] for row in rows]
    return [
        ["logSNR", *names],
        *lines,
    ], "Errors relative to what float32 gives, of factors rounded to TF32 and to bfloat16."


def plans(rows: Rows) -> Made:
    """A row a training, stage and kind of devices."""
    columns = {
        "training": "training",
        "stage": "stage",
        "devices": "devices",
        "state_gb": "state, GB",
        "activations_gb": "activations, GB a device",
        "accumulation": "accumulation",
        "hours": "hours",
        "usd": "USD",
    }
    shown = lambda of: f"{of:.3g}" if isinstance(of, float) else "does not fit" if of is None else str(of)
    return [
        list(columns.values()),
        *([shown(row[name]) for name in columns] for row in rows),
    ], "Counted, and not measured."


def lines_of(rows: Rows) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """(sweep, line) -> [(where, milliseconds), ...] of the rows of `growth`, sweep by sweep."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    sweeps = list(dict.fromkeys(row["sweep"] for row in rows))
    for row in sorted(rows, key=lambda row: sweeps.index(row["sweep"])):
        found.setdefault((row["sweep"], row["line"]), []).append((row["at"], row["ms"]))
    return found


def exponent(points: list[tuple[int, float]]) -> float:
    """The p of the power n^p that is nearest to the points, by least squares in logarithms.

    >>> round(exponent([(1, 3.0), (2, 12.0), (4, 48.0)]), 9)
    2.0
    """
    n, ms = np.log(np.asarray(points)).T
    return float(np.polyfit(n, ms, 1)[0])


def growth(rows: Rows) -> Made:
    """A row a line of a sweep."""
    head = ["grows with", "of", "from", "ms there", "to", "ms there", "power"]
    lines = []
    for (sweep, line), points in lines_of(rows).items():
        (first, ms), (last, ms_there) = points[0], points[-1]
        lines.append([sweep, line, str(first), figure(ms), str(last), figure(ms_there), f"{exponent(points):.2f}"])
    return [head, *lines], "The power p of the nearest n^p over all points: 1 costs in proportion, 0 costs nothing."


def choices(rows: Rows) -> Made:
    """A row a config, stage and choice."""
    interval = lambda row: f"{row['ratio']:.2f} [{row['range'][0]:.2f}, {row['range'][1]:.2f}]"
    lines = [[row["config"], row["stage"], row["choice"], figure(row["ms"]), interval(row)] for row in rows]
    caption = "The time of the config as it is over that of the choice, above 1 the choice is faster: the median of the rounds [the least, the largest]."
    return [["config", "stage", "choice", "ms a step", "ratio"], *lines], caption


def operations(rows: Rows) -> Made:
    """A row a step and library."""
    kinds = list(rows[0]["kinds"])
    name = {"jax": "ours", "torch": "PyTorch"}
    lines = [
        [
            f"{row['step']}, {name[row['library']]}",
            figure(row["ms"]),
            *(f"{row['kinds'][kind]:.0f}" for kind in kinds),
            f"{100 * row['share_of_peak']:.0f} %",
        ]
        for row in rows
    ]
    caption = (
        "Milliseconds on one thread: of a step, and of its operations in the library's own profile. PyTorch's norms are one operation each; "
        "ours are a sum and elementwise. The peak is that of a product of large matrices."
    )
    return [["step", "ms", *kinds, "of the peak"], *lines], caption


def sharding(rows: Rows) -> Made:
    """A row a mode of config.parallel."""
    shown = lambda row: [f"{row[name] / 1e9:.2f}" for name in ("state", "beside")]
    lines = [[row["mode"], *shown(row), f"{(row['state'] + row['beside']) / 1e9:.2f}"] for row in rows]
    head = ["parallel", "state, GB", "beside it in a step, GB", "both, GB"]
    return [head, *lines], "Of each device. The state is parameters, EMA and Adam's two moments, in float32."


step_time, precision = (partial(of_result, make) for make in (steps, errors))
