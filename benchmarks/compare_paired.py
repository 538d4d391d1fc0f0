"""What a method's figures are less the beta-VAE's of equal beta and latent size, seed by seed: whether the seeds that there are tell them
apart. The errors are of training anew, on these test images.
"""

from collections.abc import Callable
from typing import Any

from compare_glance import COLUMNS
from compare_seeds import cell, mean
from scipy.stats import t as student

# Of an interval.
LEVEL = 0.95
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
        [str(latent), title, str(max(map(len, told.values()))), *map(_told_apart, told.values())]
        for (latent, title), told in sorted(differences.items(), key=lambda item: item[0][0])
        if max(map(len, told.values())) > 1
    ]
    return [["latents", "method", "seeds", *COLUMNS], *rows] if rows else []


def _key(run: Run) -> tuple[int, int, float, bool]:
    row = run["row"]
    return run["latent"], run["seed"], row.changes["loss.beta"], row.on_draws


def _is_plain(run: Run) -> bool:
    return "model.likelihood.learn_log_var" not in run["row"].changes


def _told_apart(values: list[float]) -> str:
    """The mean and its standard error; with a star, if Student's interval does not hold 0."""
    if len(values) < 2:
        return ""
    value, error = mean(values)
    star = "*" if abs(value) > student.ppf((1 + LEVEL) / 2, len(values) - 1) * error else ""
    return cell(value, error) + star
