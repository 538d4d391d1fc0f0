"""config.prior -> the description of a pre-trained model, where the prior is one."""

from pathlib import Path

from ml_collections import ConfigDict

from sde_vae.build.nets import DTYPES, Shape
from sde_vae.errors import BadInput, choose
from sde_vae.pretrained.open import open_prior
from sde_vae.pretrained.parts import Parts, parts_of
from sde_vae.pretrained.spec import FILE, PriorFile, PriorSpec, read_spec
from sde_vae.training import workdir as workdirs

FIELD = "config.prior.checkpoint"


def converted_in(directory: Path | None) -> Path | None:
    """Return the folder of the prior in a workdir if that is a converted pre-trained model, or None."""
    return directory / "prior" if directory and (directory / "prior" / FILE).is_file() else None


def pretrained_spec(config: ConfigDict, directory: Path | None = None) -> PriorSpec | None:
    """Return the description of the run's prior: None if it is one that this program trains.

    A run in `directory` that has converted a model does not need the model's own files again.
    """
    named = Path(config.prior.checkpoint).expanduser() if config.prior.checkpoint else None
    # One that does not exist may be a run to come: it is asked for when its parameters are.
    there = named if named and _exists(named) else None
    if folder := converted_in(directory) or converted_in(there):
        return read_spec(folder, FIELD)
    return None if there is None or is_run(there) else open_pretrained(config).spec


def open_pretrained(config: ConfigDict) -> PriorFile:
    """Return the pre-trained model that config.prior names. Raises BadInput if it cannot be used."""
    return open_prior(Path(config.prior.checkpoint).expanduser(), config.prior.preset, config.prior.scheduler)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    # A name that is too long, or one with a zero byte.
    except (OSError, ValueError):
        return False


def is_run(path: Path) -> bool:
    """Return whether a path is a workdir, or a folder that is to become one: a prior is looked for in its folder `prior`."""
    return workdirs.has_checkpoints(path, "prior") or (path / "prior").is_dir() or _is_config_of_run(path)


def _is_config_of_run(path: Path) -> bool:
    if not (path / "config.json").is_file():
        return False
    try:
        workdirs.read_facts(path)
    except BadInput:
        return False
    return True


def build_parts(config: ConfigDict, spec: PriorSpec, shape: Shape) -> Parts:
    """Return SDE, network and prediction. Raises BadInput if the model makes images of another shape than the config's."""
    # A size that the files do not say is ours, where the data have one.
    height, width, channels = spec.image_shape
    known = (height or shape[0], width or shape[1] if len(shape) == 3 else width, channels)
    if known != shape:
        theirs, ours = ("x".join(map(str, of)) for of in (known, shape))
        fields = f"config.data.image_size={height if height == width else (height, width)} and config.data.channels={channels}"
        raise BadInput(
            f"config.data: got examples of {ours}, but the pre-trained prior makes {theirs} (height, width, channels); set {fields}"
        )
    dtype = choose("config.model.dtype", config.model.dtype, DTYPES)
    return parts_of(spec._replace(image_shape=known), dtype, config.model.precision)
