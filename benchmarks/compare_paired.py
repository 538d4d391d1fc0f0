"""What a method's figures are less another's of equal latent size, seed by seed: whether the seeds that there are tell them apart. The
errors are of training anew, on these test images.
"""

from collections.abc import Callable
from typing import Any

from compare_glance import COLUMNS
from compare_rows import ALONE
from compare_seeds import cell, mean
from scipy.stats import t as student

# Of an interval.
LEVEL = 0.95
Run = dict[str, Any]
# of(run, column) -> its figure, or None
Of = Callable[[Run, str], float | None]
# is_reference(run, other of the same latent size and seed)
IsReference = Callable[[Run, Run], bool]


def of_beta_vae(run: Run, other: Run) -> bool:
    """The beta-VAE of equal beta; with draws, of that with draws."""
    row, reference = run["row"], other["row"]
    plain = reference.changes.get("method") == "beta_vae" and "model.likelihood.learn_log_var" not in reference.changes
    return plain and (row.changes["loss.beta"], row.on_draws) == (reference.changes["loss.beta"], reference.on_draws)


def of_uncorrected(run: Run, other: Run) -> bool:
    """ScoreVAE, of a ScoreVAE+ on the same encoder."""
    without = {name: v for name, v in run["row"].changes.items() if not name.startswith("model.correction.")} | ALONE
    return "correction" in run["row"].stages and other["row"].changes == without and not other["row"].swapped


def paired(found: list[Run], of: Of, is_reference: IsReference) -> list[list[str]]:
    """A table with its head, of all that has two seeds or more in common with its reference; empty, if nothing has."""
    at = lambda run: (run["latent"], run["seed"])
    differences: dict[tuple[int, str], dict[str, list[float]]] = {}
    for run in found:
        others = [other for other in found if other is not run and at(other) == at(run)]
        reference = next((other for other in others if is_reference(run, other)), None)
        if reference is None:
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


def _told_apart(values: list[float]) -> str:
    """The mean and its standard error; with a star, if Student's interval does not hold 0."""
    if len(values) < 2:
        return ""
    value, error = mean(values)
    star = "*" if abs(value) > student.ppf((1 + LEVEL) / 2, len(values) - 1) * error else ""
    return cell(value, error) + star
