"""What can be refused or said before training begins, instead of hours later: of batches, of the evaluation, of few images."""

from pathlib import Path

from ml_collections import ConfigDict

from sde_vae.build.conditional import assumed_noise
from sde_vae.build.config import fields
from sde_vae.build.data import evaluated_split
from sde_vae.build.experiment import Experiment
from sde_vae.build.fields import ASSUMED_NOISE
from sde_vae.build.labels import labels_of
from sde_vae.build.metric_networks import build_metric_networks
from sde_vae.build.parameters import load_prior
from sde_vae.build.stages import require_batch
from sde_vae.build.unread import absent_attention
from sde_vae.data.dataset import Dataset
from sde_vae.devices import training_devices
from sde_vae.errors import BadInput
from sde_vae.evaluators.set_distances import FEWEST
from sde_vae.training.parallel import require_divisible


def require_ready(config: ConfigDict, experiment: Experiment, data: Dataset) -> list[str]:
    """Return notes on what training and evaluation will do with this config and these images.

    Raises BadInput for a batch larger than the training split or not divisible by the devices; for networks of the evaluation whose extra
    or file is missing or damaged; for a prior of config.eval.prior that does not fit; and for a split that was chosen and is not there, or
    lacks what an evaluator asks of it. Nothing is written.
    """
    for stage in experiment.stages:
        require_batch(config, stage.name, data)
        field = f"config.stages.{stage.name}.batch_size"
        require_divisible(stage.batch_size, len(training_devices()), field, stage.accumulation)
    labels_of(config, data, "train")
    build_metric_networks(config)
    _require_other_prior(config, experiment)
    _require_split(config, data)
    said = [f"note: {line}" for line in data.notes]
    said += [*absent_attention(config), *_narrow_likelihood(config)]
    return [*said, *_few_images(config, data), *_steps_that_never_come(config, experiment)]


def require_takes_prior(config: ConfigDict, experiment: Experiment) -> None:
    """Raise BadInput if config.eval.prior is set and the method decodes without a prior."""
    if config.eval.prior and experiment.final.method.unconditional is None:
        raise BadInput(
            f"config.eval.prior: got {config.eval.prior!r}, but {experiment.title} has no prior; leave it out"
        )


def _require_other_prior(config: ConfigDict, experiment: Experiment) -> None:
    """Raise BadInput unless config.eval.prior, if it is set, is the workdir of a trained prior of this SDE and network. It is read for that."""
    require_takes_prior(config, experiment)
    if not config.eval.prior:
        return
    other = Path(config.eval.prior).expanduser()
    if not other.is_dir():
        raise BadInput(
            f"config.eval.prior: {config.eval.prior} does not exist; expected the workdir of a trained prior"
        )
    load_prior(config, experiment, other, config.eval.prior)


def _require_split(config: ConfigDict, data: Dataset) -> None:
    """Raise BadInput for a split that was chosen and is not there, or that has no attributes for the evaluator that needs them.

    The default split need not be there: a run may be trained without held-out images.
    """
    if config.eval.split not in data.splits:
        if config.eval.split != fields()["eval.split"].default:
            evaluated_split(config, data)
        return
    if "labels" in config.eval.evaluators and data.splits[config.eval.split].attributes is None:
        raise BadInput(
            f"config.eval.evaluators: got labels, but the split {config.eval.split} of {data.name} has no attributes; leave it out, or take "
            "another config.eval.split"
        )


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


def _narrow_likelihood(config: ConfigDict) -> list[str]:
    """A note on a likelihood of DPS whose gradient is too steep for the steps of a solver."""
    least = ASSUMED_NOISE["dps"]
    if config.method != "dps" or (noise := assumed_noise(config)) >= least:
        return []
    return [
        f"note: dps with an assumed noise of {noise} may diverge; on the digits, in 19 steps, {least} was the least of five tried that did "
        "not: leave config.task.assumed_noise out"
    ]


def _steps_that_never_come(config: ConfigDict, experiment: Experiment) -> list[str]:
    """Notes on stages that end before their learning rate has risen."""
    return [
        f"note: {stage.name} ends at step {stage.steps}, before its learning rate has risen: config.stages.{stage.name}.warmup is {warmup}"
        for stage in experiment.stages
        if stage.steps < (warmup := config.stages[stage.name].warmup)
    ]
