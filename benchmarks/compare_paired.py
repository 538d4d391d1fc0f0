"""What a method's figures are less the beta-VAE's of equal beta and latent size, seed by seed: the rows of a seed share images and noise,
so that what the seeds have in common is no error of their difference.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from sde_vae.tables import figure

COLUMNS = ("l2", "l2, average", "mse, limit", "LPIPS", "LPIPS, average", "rFD", "KL")
Run = dict[str, Any]
# of(run, column) -> its figure, or None
Of = Callable[[Run, str], float | None]


def paired(found: list[Run], of: Of) -> list[list[str]]:
    """A table with its head, of all that has two seeds or more in common with that beta-VAE; empty, if nothing has."""
    references = {_key(run): run for run in found if run["row"].changes.get("method") == "beta_vae" and _is_plain(run)}
    differences: dict[tuple[int, str], dict[str, list[float]]] = {}
    for run in found:
        reference = references.get(_key(run))
        if reference is None or reference is run:
            continue
        told = differences.setdefault((run["latent"], run["row"].title), {column: [] for column in COLUMNS})
        for column in COLUMNS:
            ours, theirs = of(run, column), of(reference, column)
            if ours is not None and theirs is not None:
                told[column].append(ours - theirs)
    rows = [
        [str(latent), title, str(max(map(len, told.values()))), *map(_cell, told.values())]
        for (latent, title), told in differences.items()
        if max(map(len, told.values())) > 1
    ]
    return [["latents", "method", "seeds", *COLUMNS], *rows] if rows else []


def _key(run: Run) -> tuple[int, int, float]:
    return run["latent"], run["seed"], run["row"].changes.get("loss.beta")


def _is_plain(run: Run) -> bool:
    return "model.likelihood.learn_log_var" not in run["row"].changes


def _cell(values: list[float]) -> str:
    if len(values) < 2:
        return ""
    return figure(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values))))
