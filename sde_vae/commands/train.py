"""Train a run: the stages that are not finished, in order, each resumable."""

import contextlib
from functools import partial
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from sde_vae import runtime
from sde_vae.build.config import checked
from sde_vae.build.experiment import Experiment, build
from sde_vae.build.lineage import notes_on, outdated, record_of, require_same, set_aside
from sde_vae.build.parameters import (
    bytes_to_convert,
    convert_prior,
    load_prior,
    load_stage,
    other_images,
    unfinished_prior,
)
from sde_vae.build.readiness import require_ready
from sde_vae.build.workdirs import check_config
from sde_vae.data.dataset import Dataset, Images
from sde_vae.data.scaling import standardisation_of
from sde_vae.devices import replicate, training_devices
from sde_vae.errors import BadInput
from sde_vae.files import require_writable, write_text
from sde_vae.hosts.together import LONG, agree, first, is_first, only_first_prints, together, wait_to_see
from sde_vae.inference.sampling import from_prior, make_sampler
from sde_vae.inference.synthetic import synthetic_images
from sde_vae.keys import stream
from sde_vae.methods.method import Method, abstract_params, required
from sde_vae.training import workdir
from sde_vae.training.checkpoints import room_for
from sde_vae.training.description import describe, newest_record, steps
from sde_vae.training.lock import locked
from sde_vae.training.loop import train_stage
from sde_vae.training.signals import Stopped, StopRequest
from sde_vae.training.stage import Stage
from sde_vae.training.train_state import abstract_state


def train(config: ConfigDict, directory: str | Path) -> bool:
    """Train what `config` describes in `directory`, or go on where it was stopped.

    Returns True when all is trained, False if SIGINT or SIGTERM stopped it with the state saved. Raises BadInput, before anything is
    written, for a config or data that cannot be used, for a directory that was trained with another config or is in use by another
    process, and for a stage that would stand on other parameters than it was trained on; Diverged where a loss is not finite; and
    NotWritten where the disk is full.

    After jax.distributed.initialize, which comes after `import sde_vae`, all processes call it together, and share the work.

    >>> import sde_vae
    >>> config = sde_vae.load_config("scorevae_digits")
    >>> sde_vae.train(config, "runs/mine")  # doctest: +SKIP
    True
    """
    runtime.enable_compilation_cache()
    config, directory = checked(config), Path(directory).expanduser()
    return train_stages(config, build(config, directory), directory)


def train_stages(config: ConfigDict, experiment: Experiment, directory: Path) -> bool:
    """Train the stages of `experiment`, as `train` does."""
    flat = workdir.flatten(config.to_dict())
    of_process = {"version of " + name: version(name) for name in workdir.PACKAGES}
    of_process |= {"number of devices": jax.local_device_count(), **flat}
    agree("--config", of_process, "start all processes with the same command, versions and devices")

    def check() -> list[str]:
        check_config(config, directory)
        data = experiment.load()
        require_same_scaling(directory, data)
        notes = require_ready(config, experiment, data)
        if config.prior.checkpoint and experiment.prior:
            notes += prior_notes(config, experiment, directory, data)
        outdated(config, experiment, directory)
        return notes

    def begin() -> list[str]:
        lock.enter_context(locked(directory))
        # Again, as another process may have trained until now.
        check_config(config, directory)
        again = outdated(config, experiment, directory)
        untrained = [
            stage
            for stage in experiment.stages
            if stage.name in again or not workdir.is_trained(directory, stage.name, stage.steps)
        ]
        require_writable(
            directory, "--workdir", checkpoint_bytes(untrained) + bytes_to_convert(config, experiment, directory)
        )
        workdir.claim(directory, flat, describe_data(experiment.load()), bool(untrained))
        return (
            convert_prior(config, experiment, directory)
            + set_aside(directory, again)
            + notes_on(config, experiment, directory)
        )

    # What can be wrong with the input is found before anything is written. Process 0 alone writes, and holds the lock.
    with only_first_prints(), contextlib.ExitStack() as lock:
        notes = together("checks", check)[0] + first("beginning", begin)
        together("config.json", lambda: wait_to_see(directory / "config.json"))
        data = experiment.load()
        print(announcement(config, experiment, data, directory), *notes, sep="\n", flush=True)
        finished = all_stages(config, experiment, directory)
        if is_first():
            report_skipped(data, directory)
    return finished


def checkpoint_bytes(stages: list[Stage]) -> int:
    """Return the room that the largest checkpoint of these stages needs, 0 without any; nothing is allocated."""
    states = [abstract_state(stage.method, stage.optimiser) for stage in stages]
    sizes = [sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) for state in states]
    return max(map(room_for, sizes), default=0)


def all_stages(config: ConfigDict, experiment: Experiment, directory: Path) -> bool:
    """Train each stage in turn. False if a signal stopped one, with its state saved."""
    with StopRequest() as stop:
        for stage in experiment.stages:
            if any(together("signals", lambda: stop.requested)) or not make_synthetic(
                config, experiment, directory, stage, stop
            ):
                print(f"{stage.name}: stopped by {signal_of(stop)} before it began; the same command goes on from here")
                return False
            synthetic = sample_synthetic(config, experiment, directory, stage, stop) if stage.synthetic else None
            if not train_one(config, experiment, directory, stage, stop, synthetic):
                print(
                    f"{stage.name}: stopped by {signal_of(stop)}, the state is saved; the same command goes on from here"
                )
                return False
    return True


def signal_of(stop: StopRequest) -> str:
    """Return the name of the signal that stopped this process, or that it was another one's."""
    return stop.name or "a signal to another process"


def train_one(
    config: ConfigDict,
    experiment: Experiment,
    directory: Path,
    stage: Stage,
    stop: StopRequest,
    synthetic: Images | None,
) -> bool:
    """Train a stage on those before it, of which each checkpoint keeps a record. Returns what `train_stage` does."""
    before = {name: load_stage(config, experiment, directory, name) for name in stage.depends_on}
    if at := newest_record(directory / stage.name / "checkpoints"):
        require_same(at[1], before, f"the stage {stage.name} in {directory}")
    record = record_of(config, stage, before)
    # Without a name here, the host has no second copy of what the stage places on its devices.
    done = train_stage(
        stage,
        {name: before.pop(name).params for name in stage.depends_on},
        directory / stage.name,
        stop,
        synthetic,
        record,
    )
    # The stages that stand on it read what process 0 has written.
    checkpoints = directory / stage.name / "checkpoints"
    step = first(f"end of {stage.name}", lambda: max(steps(checkpoints), default=None))
    if step is not None:
        wait_to_see(checkpoints / str(step))
    return done


def make_synthetic(
    config: ConfigDict, experiment: Experiment, directory: Path, stage: Stage, stop: StopRequest
) -> bool:
    """Let process 0 sample the synthetic images of a stage, if it has any. Returns False if a signal stopped that."""

    def make() -> bool:
        try:
            if stage.synthetic:
                sample_synthetic(config, experiment, directory, stage, stop)
        except Stopped:
            return False
        return True

    return first(f"synthetic images of {stage.name}", make, LONG)


def sample_synthetic(
    config: ConfigDict, experiment: Experiment, directory: Path, stage: Stage, stop: StopRequest
) -> Images:
    """Return uint8 images [n, H, W, C] sampled from the prior, now or before: they are kept in WORKDIR/synthetic.

    Raises Stopped if a signal stops the sampling.
    """
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
        stop.check,
    )


def announcement(config: ConfigDict, experiment: Experiment, data: Dataset, directory: Path) -> str:
    """Say what is about to be trained: where, on what, how large, on which devices, and in which stages."""
    splits = ", ".join(f"{name} {len(split.images)}" for name, split in data.splits.items())
    devices, processes = training_devices(), jax.process_count()
    over = f" of {processes} processes" if processes > 1 else ""
    latents = f", {config.model.latent_dim} latents" if experiment.final.method.encode else ""
    lines = [
        f"{experiment.title} on {data.name}{latents}",
        f"workdir   {directory}",
        f"data      {splits} {'images' if data.scaling is None else 'examples'} of {'x'.join(map(str, data.shape))}",
        f"devices   {len(devices)} x {devices[0].device_kind}{over}, config.parallel={config.parallel}",
    ]
    if spec := experiment.pretrained:
        lines.append(
            f"prior     {config.prior.checkpoint or directory / 'prior'}: {spec.source}, {count(experiment.prior):,} parameters, its own schedule "
            f"({spec.schedule['name']}) and network; predicts {spec.prediction}. config.sde, config.model.prior and config.model.prediction are "
            "not read"
        )
    lines += [
        f"stage     {stage.name}: {stage.steps} steps, {parameter_count(stage):,} parameters"
        for stage in experiment.stages
    ]
    return "\n".join(lines)


def parameter_count(stage: Stage) -> int:
    """Return the number of parameters that a stage trains; nothing is allocated."""
    return count(stage.method)


def count(method: Method | None) -> int:
    """Return the number of parameters of a method, 0 for None; nothing is allocated."""
    return sum(leaf.size for leaf in jax.tree.leaves(abstract_params(method))) if method else 0


def describe_data(data: Dataset) -> dict:
    """Return what config.json keeps of the data: name, grey levels, shape, the sizes of the splits, and the standardisation of arrays."""
    sizes = {name: len(split.images) for name, split in data.splits.items()}
    scaling = data.scaling.as_json() if data.scaling else {}
    return {"name": data.name, "levels": data.levels, "shape": list(data.shape), "splits": sizes, **scaling}


def require_same_scaling(directory: Path, data: Dataset) -> None:
    """Raise BadInput if what is trained in `directory` was trained on arrays with another standardisation: they are other data."""
    if data.scaling is None or not workdir.has_checkpoints(directory) or not (directory / "config.json").exists():
        return
    before = standardisation_of(workdir.read_facts(directory).get("data", {}))
    if before is not None and not all(
        np.allclose(a, b, rtol=1e-9, atol=0) for a, b in zip(before, data.scaling, strict=True)
    ):
        raise BadInput(
            f"config.data.dir: {directory} was trained on data with another mean and standard deviation; give the data that it was "
            "trained on, or another --workdir"
        )


def prior_notes(config: ConfigDict, experiment: Experiment, directory: Path, data: Dataset) -> list[str]:
    """Return what to know of the prior of config.prior.checkpoint: that it is unfinished, or was trained on other images."""
    prior = load_prior(config, experiment, directory)
    notes = unfinished_prior(config, prior)
    if experiment.pretrained is not None:
        notes += [f"note: config.prior.checkpoint: {line}" for line in experiment.pretrained.notes]
        return [
            *notes,
            "note: the images that config.prior.checkpoint was trained on are not known; some may be held out here",
        ]
    if other_images(prior, data):
        notes.append(note_other_images("config.prior.checkpoint"))
    if data.scaling is not None and other_images(prior, data):
        notes.append(
            "note: that prior's data had a mean and standard deviation of their own: it sees these data standardised by theirs"
        )
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
