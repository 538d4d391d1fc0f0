"""Trained parameters: those of a run's stages, and of another run's prior where the config names one."""

from pathlib import Path

from ml_collections import ConfigDict

from sde_vae.build.experiment import Experiment
from sde_vae.data.dataset import Dataset, fingerprint
from sde_vae.devices import replicate
from sde_vae.errors import BadInput
from sde_vae.inference.model import Model, ModelParams, make_model
from sde_vae.methods.method import Method, abstract_params
from sde_vae.training import workdir
from sde_vae.training.checkpoints import Trained, load_ema
from sde_vae.types import Frozen


def load_prior(config: ConfigDict, experiment: Experiment, directory: Path, swapped: str = "") -> Trained:
    """Return the prior's EMA: of the run `swapped` (config.eval.prior), else of config.prior.checkpoint, else of this workdir.

    Raises BadInput that names the field if there is none, or if it has another SDE, prediction or network.
    """
    fields = {"config.eval.prior": swapped, "config.prior.checkpoint": config.prior.checkpoint}
    field, given = next(((field, given) for field, given in fields.items() if given), ("--workdir", str(directory)))
    other = Path(given).expanduser()
    sde = {name: value for name, value in config.sde.items() if name == "name" or hasattr(experiment.decoder.sde, name)}
    same = {f"sde.{name}": value for name, value in sde.items()} | {"model.prediction": config.model.prediction}
    workdir.check_prior(other, same, field)
    if experiment.prior is None:
        raise BadInput(f"{field}: {experiment.title} has no prior; leave it out")
    found = load_ema(other / "prior" / "checkpoints", "prior", abstract_params(experiment.prior), field)
    if kept := (found.record or {}).get("config"):
        workdir.check_alike(kept, same, other, field)
    return found


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
    field = "config.eval.prior" if swapped else "config.prior.checkpoint"
    if not (swapped or config.prior.checkpoint) or not (other / "config.json").exists():
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
