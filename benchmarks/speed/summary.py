"""The tables of this folder's results, for their own pages and for docs/speed.md. Nothing of PyTorch is imported."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

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


step_time, precision = (partial(of_result, make) for make in (steps, errors))
