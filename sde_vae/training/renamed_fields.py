"""Config fields of earlier versions under their names of today, so that a workdir trained then still loads."""

from typing import Any

STAGES = ("prior", "encoder", "correction", "latent")
# Old field -> the fields that have its value today.
RENAMED = {
    "prior.weight": ("stages.prior.weight",),
    "prior.times": ("stages.prior.times",),
    "loss.weight": ("stages.encoder.weight",),
    "loss.times": ("stages.encoder.times",),
    "correction.weight": ("stages.correction.weight",),
    "correction.times": ("stages.correction.times",),
    "optim.warmup": tuple(f"stages.{stage}.warmup" for stage in STAGES),
    "draws.n": ("synthetic.n",),
    "draws.share": ("synthetic.share",),
    "model.encoder.sees": ("model.encoder.input",),
    "model.encoder.statistics": ("model.encoder.num_statistics",),
    "sampling.corrector_moves": ("sampling.corrector_steps",),
}
# New field -> the field whose value it had before it was one.
TAKEN_FROM = {"y_sde.beta_min": "sde.beta_min"}
EVALUATORS = {"averages": "multi_sample", "paths": "trajectory_consistency", "ladder": "elbo_vs_steps"}


def renamed(flat: dict[str, Any]) -> dict[str, Any]:
    """Return {"section.field": value} with the names of today.

    >>> renamed({"loss.weight": "sigmoid", "seed": 0})
    {'stages.encoder.weight': 'sigmoid', 'seed': 0}
    """
    today = {new: flat[old] for new, old in TAKEN_FROM.items() if old in flat}
    today |= {name: value for old, value in flat.items() for name in RENAMED.get(old, (old,))}
    if "eval.evaluators" in today:
        today["eval.evaluators"] = [EVALUATORS.get(name, name) for name in today["eval.evaluators"]]
    return today
