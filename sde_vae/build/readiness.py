"""What can be refused or said before training begins, instead of hours later: of batches, of the evaluation, of few images."""

from pathlib import Path

import jax
from ml_collections import ConfigDict

from sde_vae.build.experiment import Experiment
from sde_vae.build.labels import labels_of
from sde_vae.build.metric_networks import build_metric_networks
from sde_vae.build.stages import require_batch
from sde_vae.build.unread import absent_attention
from sde_vae.data.dataset import Dataset
from sde_vae.errors import BadInput
from sde_vae.evaluators.set_distances import FEWEST
from sde_vae.training.parallel import require_divisible


def require_ready(config: ConfigDict, experiment: Experiment, data: Dataset) -> list[str]:
    """Return notes on what training and evaluation will do with this config and these images.

    Raises BadInput for a batch larger than the training split or not divisible by the devices, and for networks of the evaluation whose
    extra or file is missing or damaged. Nothing is written.
    """
    for stage in experiment.stages:
        require_batch(config, stage.name, data)
        field = f"config.stages.{stage.name}.batch_size"
        require_divisible(stage.batch_size, len(jax.local_devices()), field)
    labels_of(config, data, "train")
    build_metric_networks(config)
    if config.eval.prior and not Path(config.eval.prior).expanduser().is_dir():
        raise BadInput(
            f"config.eval.prior: {config.eval.prior} does not exist; expected the workdir of a trained prior"
        )
    said = [f"note: {line}" for line in data.notes]
    return [*said, *absent_attention(config), *_few_images(config, data), *_steps_that_never_come(config, experiment)]


def _few_images(config: ConfigDict, data: Dataset) -> list[str]:
    """Notes on a split that the evaluation lacks, or that is too small for distances of sets; and on what arrays lack."""
    split = config.eval.split
    if split not in data.splits:
        return [
            f"note: {data.name} has no images for config.eval.split={split}: --mode eval will need another split, "
            f"{' or '.join(data.splits)}"
        ]
    if data.scaling is not None:
        return [
            "note: the data are no pictures: without LPIPS, SSIM, distances by networks of images, and pictures of examples"
        ]
    n = len(data.splits[split].images)
    if config.eval.extractor != "none" and n < FEWEST:
        return [f"note: the split {split} has {n} images: without {FEWEST}, --mode eval leaves out distances of sets"]
    return []


def _steps_that_never_come(config: ConfigDict, experiment: Experiment) -> list[str]:
    """Notes on stages that end before their learning rate has risen."""
    return [
        f"note: {stage.name} ends at step {stage.steps}, before its learning rate has risen: config.stages.{stage.name}.warmup is {warmup}"
        for stage in experiment.stages
        if stage.steps < (warmup := config.stages[stage.name].warmup)
    ]
