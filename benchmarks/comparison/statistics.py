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
PLACE = ("latent", "method")


class Summary(NamedTuple):
    """Frames of one index (latent, method) and a column a metric; n counts the runs that have the metric."""

    mean: pd.DataFrame
    error: pd.DataFrame
    n: pd.DataFrame

    def text(self) -> pd.DataFrame:
        """Cells "mean ± error", empty where there is no figure."""
        cells = {
            name: [cell(value, error) for value, error in zip(self.mean[name], self.error[name], strict=True)]
            for name in self.mean
        }
        return pd.DataFrame(cells, index=self.mean.index)


def over_seeds(frame: pd.DataFrame, metrics: Iterable[str]) -> Summary:
    """The mean and its standard error over the seeds; of one seed, its figure and that figure's error over the images."""
    metrics = [name for name in metrics if name in frame]
    values = frame[metrics].astype(float).replace([np.inf, -np.inf], np.nan)
    errors = frame.reindex(columns=[f"{name}_stderr" for name in metrics]).astype(float).set_axis(metrics, axis=1)
    by = [frame[name] for name in PLACE]
    groups = values.groupby(by, sort=False)
    n = groups.count()
    of_images = errors.where(values.notna()).groupby(by, sort=False).mean()
    return Summary(groups.mean(), groups.sem().where(n > 1, of_images), n)


def paired(frame: pd.DataFrame, reference: str, metrics: Iterable[str]) -> Summary:
    """The differences to the row that the column `reference` names, on the same latent size and seed, where two seeds or more have
    both.
    """
    metrics = [name for name in metrics if name in frame]
    runs = frame[["row", *PLACE, "seed", reference, *metrics]]
    # Without a reference there is no pair; pandas would take two missing keys for equal.
    pairs = runs[runs[reference].fillna("") != ""].merge(
        runs[["row", "latent", "seed", *metrics]],
        left_on=[reference, "latent", "seed"],
        right_on=["row", "latent", "seed"],
        suffixes=("", " of the reference"),
    )
    theirs = pairs[[f"{name} of the reference" for name in metrics]].to_numpy()
    difference = pd.concat([pairs[list(PLACE)], pairs[metrics] - theirs], axis=1)
    summary = over_seeds(difference, metrics)
    enough = summary.n.gt(1).any(axis=1)
    return Summary(*(of[enough].where(summary.n[enough] > 1) for of in summary))


def half_width(error: pd.DataFrame, n: pd.DataFrame) -> pd.DataFrame:
    """Half of Student's interval of LEVEL."""
    return error * student.ppf((1 + LEVEL) / 2, n - 1)


def starred(differences: Summary) -> pd.DataFrame:
    """Cells "mean ± error", with a star where Student's interval does not hold 0."""
    clear = differences.mean.abs() > half_width(differences.error, differences.n)
    return differences.text() + clear.map(lambda outside: "*" if outside else "")


def cell(value: float, error: float) -> str:
    """ "value ± error"; without the error where seeds differ by rounding alone, as a baseline's do."""
    if not np.isfinite(value):
        return ""
    return figure(value, None if not np.isfinite(error) or error < 1e-5 * abs(value) else error)
