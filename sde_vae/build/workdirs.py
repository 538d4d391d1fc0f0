"""Folders of trained runs, and the configs that they were trained with."""

from pathlib import Path

from ml_collections import ConfigDict

from sde_vae.build.config import read_recorded, set_fields
from sde_vae.build.fields import default_config
from sde_vae.build.unread import read_by
from sde_vae.errors import BadInput
from sde_vae.training import workdir as workdirs

# Trained runs that are part of the package.
PACKAGED = Path(__file__).parent.parent / "runs"
# Stages that a run may have or not, by their steps.
LATER_STAGES = ("correction", "latent")


def find_workdir(workdir: str | Path) -> Path:
    """Return the folder of a run, given by its path or by the name of a packaged one. Raises BadInput if there is none."""
    directory = Path(workdir).expanduser()
    if (directory / "config.json").is_file():
        return directory
    if (PACKAGED / str(workdir) / "config.json").is_file():
        return PACKAGED / str(workdir)
    packaged = ", ".join(sorted(p.parent.name for p in PACKAGED.glob("*/config.json"))) or "none"
    raise BadInput(
        f"workdir: {directory} is not a trained run: it has no config.json; packaged runs by name: {packaged}"
    )


def trained_config(directory: Path) -> ConfigDict:
    """Return the config that the run in `directory` was trained with. Raises BadInput for one that this version cannot read."""
    return read_recorded(directory, "workdir")


def check_config(config: ConfigDict, directory: Path) -> None:
    """Raise BadInput, naming the field, if what is trained in `directory` was trained with another value of a field that is read.

    Those are the fields that `config` reads, and that it would read with the later stages in `directory`, which it may leave out.
    """
    begun = [stage for stage in LATER_STAGES if workdirs.has_checkpoints(directory, stage)]
    whole = set_fields(config, {f"stages.{stage}.steps": max(1, config.stages[stage].steps) for stage in begun})
    workdirs.check(directory, read_by(whole), workdirs.flatten(default_config().to_dict()))


def check_same_model(config: ConfigDict, directory: Path) -> None:
    """Raise BadInput, naming the field, if the config is of another model than the one trained in `directory`."""
    check_config(config, directory)
    for stage in LATER_STAGES:
        if workdirs.has_checkpoints(directory, stage) and not config.stages[stage].steps:
            raise BadInput(
                f"config.stages.{stage}.steps: got 0, but {directory} has a trained stage {stage}, which is part of its model; leave it out"
            )
