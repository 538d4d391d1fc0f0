"""Train a run: the stages that are not finished, in order, each resumable."""

from functools import partial
from pathlib import Path

import jax
from ml_collections import ConfigDict

from sde_vae import runtime
from sde_vae.build.config import checked
from sde_vae.build.experiment import Experiment, build
from sde_vae.build.fields import default_config
from sde_vae.build.parameters import load_frozen, load_prior, other_images, unfinished_prior
from sde_vae.build.readiness import require_ready
from sde_vae.data.dataset import Dataset
from sde_vae.devices import replicate
from sde_vae.errors import BadInput
from sde_vae.files import write_text
from sde_vae.inference.sampling import from_prior, make_sampler
from sde_vae.inference.synthetic import synthetic_images
from sde_vae.keys import stream
from sde_vae.methods.method import abstract_params, required
from sde_vae.training import workdir
from sde_vae.training.checkpoints import describe
from sde_vae.training.loop import Stopped, StopRequest, train_stage
from sde_vae.training.stage import Stage


def train(config: ConfigDict, directory: str | Path) -> bool:
    """Train what `config` describes in `directory`, or go on where it was stopped.

    Returns True when all is trained, False if SIGTERM stopped it with the state saved. Raises BadInput, before anything is written,
    for a config or data that cannot be used and for a directory that was trained with another config; raises Diverged where a loss
    is not finite.

    >>> import sde_vae
    >>> config = sde_vae.load_config("scorevae_digits")
    >>> sde_vae.train(config, "runs/mine")  # doctest: +SKIP
    True
    """
    runtime.enable_compilation_cache()
    config, directory = checked(config), Path(directory).expanduser()
    return train_stages(config, build(config), directory)


def train_stages(config: ConfigDict, experiment: Experiment, directory: Path) -> bool:
    """Train the stages of `experiment`, as `train` does."""
    if jax.process_count() > 1:
        raise BadInput("several hosts: training runs on the devices of one host so far; start it on one")
    # What can be wrong with the input is found before anything is written.
    flat, defaults = workdir.flatten(config.to_dict()), workdir.flatten(default_config().to_dict())
    workdir.check(directory, flat, defaults)
    data = experiment.load()
    notes = require_ready(config, experiment, data)
    if config.prior.checkpoint and experiment.prior:
        notes += prior_notes(config, experiment, directory, data)
    trains = not all(workdir.is_trained(directory, stage.name, stage.steps) for stage in experiment.stages)
    workdir.claim(directory, flat, defaults, describe_data(data), trains)
    print(announcement(config, experiment, data, directory), *notes, sep="\n", flush=True)
    finished = all_stages(config, experiment, directory)
    report_skipped(data, directory)
    return finished


def all_stages(config: ConfigDict, experiment: Experiment, directory: Path) -> bool:
    """Train each stage in turn. False if SIGTERM stopped one, with its state saved."""
    with StopRequest() as stop:
        for stage in experiment.stages:
            try:
                with stop.at_once():
                    synthetic = sample_synthetic(config, experiment, directory, stage) if stage.synthetic else None
            except Stopped:
                print(f"{stage.name}: stopped by SIGTERM before it began; the same command goes on from here")
                return False
            # Without a name here, the host has no second copy of what the stage places on its devices.
            if not train_stage(
                stage, load_frozen(config, experiment, directory, stage), directory / stage.name, stop, synthetic
            ):
                print(f"{stage.name}: stopped by SIGTERM, the state is saved; the same command goes on from here")
                return False
    return True


def sample_synthetic(config: ConfigDict, experiment: Experiment, directory: Path, stage: Stage):
    """Return uint8 images [n, H, W, C] sampled from the prior, now or before: they are kept in WORKDIR/synthetic."""
    prior = load_prior(config, experiment, directory).params
    unconditional = required(experiment.prior and experiment.prior.unconditional, "unconditional")
    key = stream(config.seed, "synthetic images")
    generate = from_prior(experiment.decoder, lambda params: unconditional(params, {}), experiment.shape)
    # Version 0.1.0 kept them in WORKDIR/draws.
    earlier = directory / "draws"
    return synthetic_images(
        earlier if earlier.is_dir() else directory / "synthetic",
        stage.synthetic,
        experiment.load().levels,
        {"prior": describe(prior), "seed": config.seed},
        {"sampling": config.sampling.to_dict(), "batch_size": config.eval.batch_size},
        lambda cache: partial(make_sampler(generate, config.eval.batch_size, cache), replicate(prior), key),
    )


def announcement(config: ConfigDict, experiment: Experiment, data: Dataset, directory: Path) -> str:
    """Say what is about to be trained: where, on what, how large, on which devices, and in which stages."""
    splits = ", ".join(f"{name} {len(split.images)}" for name, split in data.splits.items())
    devices = jax.local_devices()
    lines = [
        f"{experiment.title} on {data.name}, {config.model.latent_dim} latents",
        f"workdir   {directory}",
        f"data      {splits} images of {'x'.join(map(str, data.shape))}",
        f"devices   {len(devices)} x {devices[0].device_kind}, config.parallel={config.parallel}",
    ]
    lines += [
        f"stage     {stage.name}: {stage.steps} steps, {parameter_count(stage):,} parameters"
        for stage in experiment.stages
    ]
    return "\n".join(lines)


def parameter_count(stage: Stage) -> int:
    """Return the number of parameters that a stage trains; nothing is allocated."""
    return sum(leaf.size for leaf in jax.tree.leaves(abstract_params(stage.method)))


def describe_data(data: Dataset) -> dict:
    """Return what config.json keeps of the data: its name, grey levels, image shape and the sizes of its splits."""
    sizes = {name: len(split.images) for name, split in data.splits.items()}
    return {"name": data.name, "levels": data.levels, "shape": list(data.shape), "splits": sizes}


def prior_notes(config: ConfigDict, experiment: Experiment, directory: Path, data: Dataset) -> list[str]:
    """Return what to know of the prior of config.prior.checkpoint: that it is unfinished, or was trained on other images."""
    prior = load_prior(config, experiment, directory)
    notes = unfinished_prior(config, prior)
    if other_images(prior, data):
        notes.append(note_other_images("config.prior.checkpoint"))
    return notes


def note_other_images(field: str) -> str:
    """Return the note that the prior, which `field` names, was trained on other images than these."""
    return f"note: {field} was trained on other images, perhaps on some that are held out here"


def report_skipped(data: Dataset, directory: Path) -> None:
    """List the images left out under config.data.skip_corrupt: the first few here, all of them in WORKDIR/skipped.txt."""
    if data.skipped:
        write_text(directory / "skipped.txt", "\n".join(data.skipped) + "\n")
        print(f"{data.name}: {len(data.skipped)} images were left out, see {directory / 'skipped.txt'}; the first:")
        print(*data.skipped[:10], sep="\n")
