"""Figures over seeds."""

from typing import Any

import numpy as np

from sde_vae.tables import figure

Cell = tuple[float | None, float | None]


def over_seeds(runs: list[dict[str, Any]], name: str) -> Cell:
    """(mean, standard error): over the seeds, or, of one seed, as its evaluation told it."""
    # What was too short to be timed is not a number.
    having = [run for run in runs if name in run and np.isfinite(run[name])]
    if len(having) == 1:
        return having[0][name], having[0].get(f"{name}_stderr")
    return mean([run[name] for run in having]) if having else (None, None)


def mean(values: list[float]) -> tuple[float, float]:
    """Of two or more, and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def cell(value: float | None, error: float | None) -> str:
    """Seeds that differ by rounding, as the baselines' do, have no error."""
    return figure(value, None if error is not None and error < 1e-5 * abs(value) else error)
