"""The comparison's only contact with training and evaluation."""

import json
import math
import os
import zlib
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from sde_vae.build.experiment import build
from sde_vae.build.fields import default_config
from sde_vae.build.parameters import load_prior
from sde_vae.commands.evaluate import evaluate_run
from sde_vae.commands.train import train_stages
from sde_vae.run import Run
from sde_vae.training import logs, workdir
from sde_vae.training.description import describe


def with_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """{"section.field": value} of every field, with the default for one that an older config lacks."""
    defaults, given = (workdir.as_json(workdir.flatten(of)) for of in (default_config().to_dict(), config))
    return defaults | given


def train(config: ConfigDict, directory: Path, only: str = "") -> bool:
    """Train all stages that are not finished, or one. False if training was stopped, with its state saved."""
    experiment = build(config)
    stages = tuple(stage for stage in experiment.stages if only in ("", stage.name))
    return train_stages(config, experiment._replace(stages=stages), directory)


def evaluate(config: ConfigDict, directory: Path) -> tuple[dict[str, Any], Path]:
    """(metrics, the reconstructions.npz). What was evaluated with the same settings is kept."""
    evaluation = evaluate_run(Run(directory, config))
    return evaluation.metrics, evaluation.directory / "reconstructions.npz"


def prior_digest(config: ConfigDict, directory: Path) -> str:
    """Eight digits that tell one prior's parameters from another's."""
    params = load_prior(config, build(config), directory).params
    return f"{zlib.crc32(json.dumps(describe(params), sort_keys=True).encode()):08x}"


def share_synthetic(folder: Path, prior: Path) -> None:
    """Link the folder of synthetic images to that of the prior: they are the same for all rows of a seed."""
    link, shared = folder / "synthetic", prior / "synthetic"
    shared.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        # Relative, so that both can be moved together.
        link.symlink_to(os.path.relpath(shared, link.parent), target_is_directory=True)


def training_seconds(stage: Path) -> float:
    """Seconds of all steps at the median rate, without compilation and interruptions. NaN if nothing was timed."""
    logged = logs.read(stage / "metrics.jsonl")
    rates = sorted(row["steps_per_second"] for row in logged if "steps_per_second" in row)
    return logged[-1]["step"] / rates[len(rates) // 2] if rates else math.nan
