"""Statistics over seeds: means with standard errors, and differences seed by seed.

A frame has a run a row: the columns "row", "method" (its title), "latent" and "seed", and a column a metric, some of them with a
METRIC_stderr over the images.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

from sde_vae.reporting.tables import figure

# Of Student's interval.
LEVEL = 0.95
PLACE = ["latent", "method"]


class Summary(NamedTuple):
    """Frames of one index (latent, method) and a column a metric; n counts the runs that have the metric."""

    mean: pd.DataFrame
    error: pd.DataFrame
    n: pd.DataFrame

    def text(self) -> pd.DataFrame:
        """Cells "mean ± error", empty where there is no figure."""
        cells = {name: [*map(cell, self.mean[name], self.error[name])] for name in self.mean}
        return pd.DataFrame(cells, index=self.mean.index)


def over_seeds(frame: pd.DataFrame, metrics: Iterable[str]) -> Summary:
    """The mean and its standard error over the seeds; of one seed, its figure and that figure's error over the images."""
    metrics = [name for name in metrics if name in frame]
    values = frame[metrics].astype(float).replace([np.inf, -np.inf], np.nan)
    errors = frame.reindex(columns=[f"{name}_stderr" for name in metrics]).astype(float).set_axis(metrics, axis=1)
    of_seeds, of_images = (
        of.groupby([frame[name] for name in PLACE], sort=False) for of in (values, errors.where(values.notna()))
    )
    n = of_seeds.count()
    return Summary(of_seeds.mean(), of_seeds.sem().where(n > 1, of_images.mean()), n)


def paired(frame: pd.DataFrame, reference: str, metrics: Iterable[str]) -> Summary:
    """Differences to the row that the column `reference` names, of equal latent size and seed, where two seeds or more have both."""
    metrics, place = [name for name in metrics if name in frame], ["latent", "seed"]
    ours = frame[frame[reference].fillna("") != ""]
    pairs = ours.merge(frame, left_on=[reference, *place], right_on=["row", *place], suffixes=("", " of the reference"))
    theirs = pairs[[f"{name} of the reference" for name in metrics]].to_numpy()
    summary = over_seeds(pairs[PLACE].join(pairs[metrics] - theirs), metrics)
    return Summary(*(of[summary.n.gt(1).any(axis=1)].where(summary.n > 1) for of in summary))


def half_width(differences: Summary) -> pd.DataFrame:
    """Half of Student's interval of LEVEL."""
    return differences.error * student.ppf((1 + LEVEL) / 2, differences.n - 1)


def starred(differences: Summary) -> pd.DataFrame:
    """Cells "mean ± error", with a star where Student's interval does not hold 0."""
    clear = differences.mean.abs() > half_width(differences)
    return differences.text() + clear.map(lambda outside: "*" if outside else "")


def cell(value: float, error: float) -> str:
    """ "value ± error"; without the error where seeds differ by rounding alone, as a baseline's do."""
    if not np.isfinite(value):
        return ""
    return figure(value, None if not np.isfinite(error) or error < 1e-5 * abs(value) else error)


def interval(mean: float, half: float) -> str:
    """ "mean [low, high]" with two digits of the half width."""
    if not np.isfinite(half):
        return ""
    digits = max(0, 1 - int(np.floor(np.log10(half)))) if half > 0 else 4
    low, high = mean - half, mean + half
    text = f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    return f"**{text}**" if low > 0 or high < 0 else text
