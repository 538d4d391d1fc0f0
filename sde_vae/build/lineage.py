"""What a stage stands on: the parameters of the stages before it, which its checkpoints record, and what follows when these change."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from sde_vae.build.experiment import Experiment
from sde_vae.build.parameters import load_stage
from sde_vae.errors import BadInput
from sde_vae.training import workdir as workdirs
from sde_vae.training.checkpoints import Trained
from sde_vae.training.description import digest, newest_record
from sde_vae.training.stage import Stage

WHAT_TO_DO = "train it again with --config.retrain=True (--mode train; the old one is kept), or take another --workdir for the other {0}"


def record_of(config: ConfigDict, stage: Stage, stands_on: dict[str, Trained]) -> dict[str, Any]:
    """Return what the checkpoints of a stage keep: the config, its steps, and step and digest of each stage that it stands on."""
    return {
        "config": workdirs.to_keep(workdirs.flatten(config.to_dict()), stage.name),
        "steps": stage.steps,
        "stands_on": {name: {"step": found.step, "digest": digest(found.params)} for name, found in stands_on.items()},
    }


def require_same(record: dict[str, Any] | None, stands_on: dict[str, Trained], what: str) -> None:
    """Raise BadInput if `what`, a trained stage with this record, stands on other parameters than these."""
    for name, found in stands_on.items():
        then = _stood_on(record, name)
        if then and then["digest"] != digest(found.params):
            now = f"step {found.step}" if found.step != then["step"] else f"step {found.step}, with other parameters"
            raise BadInput(
                f"--workdir: {what} was trained on the {name} at step {then['step']}, and that is at {now}; {WHAT_TO_DO.format(name)}"
            )


def require_lineage(
    config: ConfigDict, experiment: Experiment, names: Iterable[str], trained: Callable[[str], Trained], directory: Path
) -> None:
    """Raise BadInput if one of the stages `names` of a run stands on others than those that trained(name) gives.

    The prior that config.eval.prior names is another one on purpose.
    """
    for stage in experiment.stages:
        if stage.name in names:
            before = [name for name in stage.depends_on if name != "prior" or not config.eval.prior]
            what = f"the stage {stage.name} in {directory}"
            require_same(trained(stage.name).record, {name: trained(name) for name in before}, what)


def outdated(config: ConfigDict, experiment: Experiment, directory: Path) -> list[str]:
    """Return the stages in `directory` that will stand on other parameters once the stages before them are trained as configured.

    Raises BadInput, before anything is trained, if there are any and config.retrain is not set.
    """
    own = {stage.name: stage for stage in experiment.stages}
    newest = {name: newest_record(directory / name / "checkpoints") for name in own}
    found: list[str] = []
    for stage in experiment.stages:
        at = newest[stage.name]
        reasons = [
            reason
            for name in stage.depends_on
            if at and (reason := _changes(config, experiment, directory, name, at[1], own, newest, found))
        ]
        # The images of a prior that is not finished are those of an earlier one.
        unfinished = "prior" in own and (newest["prior"] or (0, None))[0] < own["prior"].steps
        if not reasons and stage.synthetic and unfinished and (directory / "synthetic" / "images.npy").exists():
            reasons = ["its synthetic images are of the prior as it was before"]
        if reasons and not config.retrain:
            raise BadInput(f"config.stages: {directory / stage.name}: {reasons[0]}; {WHAT_TO_DO.format('stages')}")
        found += [stage.name] if reasons else []
    return found


def _changes(
    config: ConfigDict,
    experiment: Experiment,
    directory: Path,
    name: str,
    record: dict[str, Any] | None,
    own: dict[str, Stage],
    newest: dict[str, tuple[int, dict[str, Any] | None] | None],
    again: list[str],
) -> str | None:
    """Return why the stage `name`, on which a trained stage with `record` stands, will be another one; None if it stays."""
    if name in again:
        return f"it stands on the {name}, which is trained again"
    then, now = _stood_on(record, name), (newest.get(name) or (0, None))[0]
    if name in own and max(now, own[name].steps) != (then["step"] if then else now):
        at = f"step {then['step']}" if then else f"step {now} or before"
        return f"it was trained on the {name} at {at}, which is to go on to step {max(now, own[name].steps)}"
    if then:
        found = load_stage(config, experiment, directory, name)
        # One that is damaged is trained again to that step, and compared then.
        if (found.step == then["step"] or name not in own) and digest(found.params) != then["digest"]:
            return f"it was trained on another {name}, of step {then['step']} (now step {found.step})"
    return None


def _stood_on(record: dict[str, Any] | None, name: str) -> dict[str, Any] | None:
    found = (record or {}).get("stands_on", {}).get(name)
    return found if isinstance(found, dict) and found.keys() >= {"step", "digest"} else None


def set_aside(directory: Path, stages: list[str]) -> list[str]:
    """Rename the folders of these stages, and of the synthetic images that one trains on, to NAME.before; return notes."""
    notes = []
    for name in [*stages, *(["synthetic"] if "encoder" in stages else [])]:
        folder, n = directory / name, 1
        while (aside := directory / f"{name}.before{n if n > 1 else ''}").exists():
            n += 1
        if folder.exists():
            folder.rename(aside)
            notes.append(f"note: {name} is made again, as what it stood on has changed; the old one is kept as {aside}")
    return notes


def notes_on(config: ConfigDict, experiment: Experiment, directory: Path) -> list[str]:
    """Return notes on stages that go on: of an earlier version, without a record, or to more steps than their schedule was made for."""
    found = []
    for stage in experiment.stages:
        at = newest_record(directory / stage.name / "checkpoints")
        if at is None:
            continue
        if at[1] is None:
            found.append(
                f"note: {directory / stage.name} is of an earlier version, without a record of its config and of what it stood on; taken as it is"
            )
        elif (before := at[1].get("steps")) != stage.steps and at[0] < stage.steps and config.optim.decay != "constant":
            found.append(
                f"note: {stage.name} was to end at step {before}, and goes on to {stage.steps}: config.optim.decay={config.optim.decay} falls "
                "over all steps, so the learning rate of the steps to come is not that of a run of one go"
            )
    return found
