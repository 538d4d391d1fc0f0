"""Trained parameters: those of a run's stages, and of another run's prior where the config names one."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from sde_vae.build.experiment import Experiment
from sde_vae.build.fields import HAS_LABELS
from sde_vae.build.pretrained_prior import FIELD, converted_in, open_pretrained
from sde_vae.data.dataset import Dataset, fingerprint
from sde_vae.devices import replicate
from sde_vae.errors import BadInput, shortened
from sde_vae.inference.model import Model, ModelParams, make_model
from sde_vae.methods.method import Method, abstract_params, required
from sde_vae.pretrained.spec import PriorSpec, read_spec, write_spec
from sde_vae.training import workdir
from sde_vae.training.checkpoints import Checkpoints, Trained, load_ema, room_for
from sde_vae.training.train_state import TrainState
from sde_vae.types import Frozen, Params


def load_prior(config: ConfigDict, experiment: Experiment, directory: Path, swapped: str = "") -> Trained:
    """Return the prior's EMA: of the run `swapped` (config.eval.prior), else of config.prior.checkpoint, else of this workdir.

    Raises BadInput that names the field if there is none, or if it has another SDE, prediction or network.
    """
    fields = {"config.eval.prior": swapped, FIELD: config.prior.checkpoint}
    field, given = next(((field, given) for field, given in fields.items() if given), ("--workdir", str(directory)))
    if experiment.prior is None:
        raise BadInput(f"{field}: {experiment.title} has no prior; leave it out")
    other = Path(given).expanduser()
    if experiment.pretrained is not None:
        return _load_pretrained(config, experiment, experiment.pretrained, directory, other if swapped else None)
    sde = {name: value for name, value in config.sde.items() if name == "name" or hasattr(experiment.decoder.sde, name)}
    same = {f"sde.{name}": value for name, value in sde.items()} | {"model.prediction": config.model.prediction}
    if HAS_LABELS.holds(config):
        same |= {f"labels.{name}": config.labels[name] for name in ("attribute", "classes")}
    workdir.check_prior(other, same, field)
    found = load_ema(other / "prior" / "checkpoints", "prior", abstract_params(experiment.prior), field)
    if kept := (found.record or {}).get("config"):
        workdir.check_alike(kept, same, other, field)
    return found


def _load_pretrained(
    config: ConfigDict, experiment: Experiment, spec: PriorSpec, directory: Path, swapped: Path | None
) -> Trained:
    """The parameters of a pre-trained prior: as a run has converted them, or else of the model's own files."""
    abstract = abstract_params(required(experiment.prior, "prior"))
    named = Path(config.prior.checkpoint).expanduser() if config.prior.checkpoint else None
    if folder := converted_in(swapped) if swapped else converted_in(directory) or converted_in(named):
        if read_spec(folder, FIELD).schedule != spec.schedule:
            raise BadInput(f"config.eval.prior: {swapped} has a prior of another schedule; give one of the same")
        return load_ema(folder / "checkpoints", "prior", abstract, FIELD)
    if swapped:
        raise BadInput(f"config.eval.prior: {swapped} has no pre-trained prior; give a run that stands on one")
    params = open_pretrained(config).read()
    require_shapes(params, abstract, FIELD)
    return Trained(params, 0, None)


def require_shapes(params: Params, abstract: Params, field: str) -> None:
    """Raise BadInput, naming `field` and the array, unless the parameters have this structure and these shapes."""
    expected, found = (
        {
            jax.tree_util.keystr(p, simple=True, separator="/"): np.shape(a)
            for p, a in jax.tree_util.tree_leaves_with_path(of)
        }
        for of in (abstract, params)
    )
    if wrong := sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)):
        raise BadInput(
            f"{field}: {shortened(wrong[0])} has the shape {found.get(wrong[0], 'absent')}, expected {expected.get(wrong[0], 'absent')} "
            f"({len(wrong)} arrays differ)"
        )


def convert_prior(config: ConfigDict, experiment: Experiment, directory: Path) -> list[str]:
    """Keep a pre-trained prior in WORKDIR/prior as a checkpoint of step 0, so that the run is whole without the model's own files.

    Returns notes, none where it is there already. Its description is written last: without it nothing has been converted.
    """
    spec = experiment.pretrained
    if spec is None or not _is_to_convert(config, experiment, directory):
        return []
    params = load_prior(config, experiment, directory).params
    folder = directory / "prior"
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    with Checkpoints(folder / "checkpoints", "prior") as checkpoints:
        checkpoints.save(TrainState(jnp.int32(0), {}, params, {}))
    write_spec(folder, spec, Path(config.prior.checkpoint).name)
    size = sum(a.nbytes for a in jax.tree.leaves(params)) / 1e6
    return [f"note: {config.prior.checkpoint} is converted and kept in {folder}: {size:,.1f} MB"]


def bytes_to_convert(config: ConfigDict, experiment: Experiment, directory: Path) -> int:
    """Return the room that `convert_prior` needs, 0 if there is nothing to convert."""
    if not _is_to_convert(config, experiment, directory):
        return 0
    leaves = jax.tree.leaves(abstract_params(required(experiment.prior, "prior")))
    return room_for(sum(leaf.size * leaf.dtype.itemsize for leaf in leaves))


def _is_to_convert(config: ConfigDict, experiment: Experiment, directory: Path) -> bool:
    kept = converted_in(directory) or converted_in(Path(config.prior.checkpoint).expanduser())
    return experiment.pretrained is not None and not kept


def load_stage(config: ConfigDict, experiment: Experiment, directory: Path, name: str, swapped: str = "") -> Trained:
    """Return the EMA of a stage, the prior's from wherever it was trained."""
    if name == "prior":
        return load_prior(config, experiment, directory, swapped)
    stage = next(stage for stage in experiment.stages if stage.name == name)
    return load_ema(directory / name / "checkpoints", name, abstract_params(stage.method), "--workdir")


def place_params(own: Trained, frozen: Frozen, latent: Trained | None) -> ModelParams:
    """Return the parameters of a trained model, on all devices."""
    return replicate(ModelParams(own.params, frozen, latent.params if latent else None))


def trained_model(experiment: Experiment, params: ModelParams) -> Model:
    """Return the model of the final stage, with the diffusion model of its latent codes if that is trained."""
    latent = experiment.latent.method if experiment.latent and params.latent is not None else None

    def of(method: Method) -> Model:
        decoders = experiment.decoder, experiment.inverter
        return make_model(experiment.title, method, params, *decoders, experiment.prior_below, latent)

    exact = None if experiment.exact is None else of(experiment.exact)
    return of(experiment.final.method)._replace(exact=exact)


def unfinished_prior(config: ConfigDict, prior: Trained, swapped: str = "") -> list[str]:
    """Return a note if `prior` is of another run, which the config names, and not trained to its last step."""
    other = Path(swapped or config.prior.checkpoint).expanduser()
    field = "config.eval.prior" if swapped else FIELD
    if not (swapped or config.prior.checkpoint) or not (other / "config.json").exists() or prior.step == 0:
        return []
    steps = workdir.read_config(other, field).get("stages.prior.steps", prior.step)
    return (
        [f"note: the prior of {other} is at step {prior.step} of {steps}: its training is not finished"]
        if prior.step < steps
        else []
    )


def other_images(prior: Trained, data: Dataset) -> bool:
    """Return whether the prior was trained on images other than this training split, or on unknown ones."""
    return prior.data is None or prior.data.get("fingerprint") != fingerprint(data.split("train").images)
