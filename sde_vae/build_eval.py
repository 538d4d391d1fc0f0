"""ConfigDict -> what an evaluation needs. Like build.py, a reader of config."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from sde_vae.build_methods import Plan
from sde_vae.data.dataset import Dataset, Images, fingerprint, take, to_model
from sde_vae.errors import BadInput, choose
from sde_vae.evaluators.averages import averages
from sde_vae.evaluators.bits_per_dim import bits_per_dim
from sde_vae.evaluators.edits import edits
from sde_vae.evaluators.importance import importance
from sde_vae.evaluators.interpolation import interpolation
from sde_vae.evaluators.inversion import inversion
from sde_vae.evaluators.ladder import ladder
from sde_vae.evaluators.latent_prior import latent_prior
from sde_vae.evaluators.latents import latents
from sde_vae.evaluators.neighbours import neighbours
from sde_vae.evaluators.noise_levels import noise_levels
from sde_vae.evaluators.paths import paths
from sde_vae.evaluators.reconstruction import reconstruction
from sde_vae.evaluators.samples import samples
from sde_vae.evaluators.streams import from_latents, from_prior, make_sampler, make_subject
from sde_vae.evaluators.subject import Attributes, Evaluator, Held, Judges, Model, Sampler, Subject
from sde_vae.evaluators.traversal import traversal
from sde_vae.experiment import Experiment
from sde_vae.metrics.efficientnet import load_efficientnet
from sde_vae.metrics.inception import load_inception
from sde_vae.metrics.lpips import load_lpips
from sde_vae.metrics.lpips_weights import NETS
from sde_vae.metrics.pixels import load_pixels
from sde_vae.parts import Parts
from sde_vae.types import Params, PRNGKey

SPLITS = ("test", "valid", "train")
# Each takes (config.eval.fid_weights, config.data.channels) and uses what it needs.
EXTRACTORS = {
    "none": lambda weights, channels: None,
    "pixels": lambda weights, channels: load_pixels(channels),
    "efflite0": lambda weights, channels: load_efficientnet(),
    "fid": lambda weights, channels: load_inception(weights),
}
EVALUATORS = {
    "reconstruction": reconstruction,
    "inversion": inversion,
    "samples": samples,
    "bits_per_dim": bits_per_dim,
    "importance": importance,
    "ladder": ladder,
    "averages": averages,
    "noise_levels": noise_levels,
    "paths": paths,
    "latents": latents,
    "interpolation": interpolation,
    "traversal": traversal,
    "edits": edits,
    "neighbours": neighbours,
    "latent_prior": latent_prior,
}


# Those that look at a score, and those that look at the unconditional prior.
OF_SCORES = ("inversion", "importance", "paths")
OF_PRIORS = ("ladder",)


def build_evaluators(config: ConfigDict, plan: Plan) -> dict[str, Evaluator]:
    """Raises BadInput for a name in config.eval that is unknown, or that has nothing to look at in this method.

    What is not installed is found when it is loaded.
    """
    for needed, names, what in (
        (plan.final.method.score, OF_SCORES, "decodes at once, without a score"),
        (plan.prior, OF_PRIORS, "has no unconditional prior"),
    ):
        if needed is None and (asked := [name for name in config.eval.evaluators if name in names]):
            raise BadInput(f"config.eval.evaluators: got {asked[0]}, but {plan.title} {what}; leave it out")
    choose("config.eval.extractor", config.eval.extractor, EXTRACTORS)
    for name in config.eval.lpips:
        choose("config.eval.lpips", name, NETS)
    choose("config.eval.split", config.eval.split, dict.fromkeys(SPLITS))
    return {name: choose("config.eval.evaluators", name, EVALUATORS) for name in config.eval.evaluators}


def evaluated_split(config: ConfigDict, data: Dataset) -> Images:
    """The split that is evaluated. Raises BadInput if the data has none of this name."""
    name = config.eval.split
    if name not in data.splits:
        raise BadInput(f"config.eval.split: got {name!r}, but {data.name} has only {', '.join(data.splits)}")
    return data.splits[name].images


def build_judges(config: ConfigDict) -> Judges:
    """The networks that judge images. Raises BadInput that says which extra or which file is missing."""
    if config.eval.extractor == "fid" and not config.eval.fid_weights:
        raise BadInput(
            "config.eval.fid_weights: expected the file of the FID's Inception, pt_inception-2015-12-05-6726825d.pth; "
            "without it take config.eval.extractor=efflite0"
        )
    weights = Path(config.eval.fid_weights).expanduser()
    extractor = choose("config.eval.extractor", config.eval.extractor, EXTRACTORS)(weights, config.data.channels)
    lpips = {f"lpips_{name}": load_lpips(name, lpips_files(config, name)) for name in config.eval.lpips}
    told = {f"weights/{name}": network.identity for name, network in lpips.items()}
    if extractor and extractor.file:
        published = "as published" if extractor.verified else "not the file that was published"
        told[f"weights/{extractor.name}"] = f"sha256 {extractor.file}, {published}"
    moments = Path(config.data.cache).expanduser() / "moments"
    return Judges({name: network.distance for name, network in lpips.items()}, extractor, told, moments)


def build_prior_sampler(
    config: ConfigDict, experiment: Experiment, prior_params: Params, key: PRNGKey, parts: Parts | None = None
) -> Sampler:
    prior = (experiment.prior or experiment.drawn_from).score(prior_params, None, None)
    return make_sampler(from_prior(experiment.decoder, prior, experiment.shape, key), config.eval.batch_size, parts)


def build_latent_sampler(config: ConfigDict, experiment: Experiment, params: Params, frozen: Params) -> Sampler:
    """Of a method without an unconditional prior."""
    model = build_model(experiment, params, frozen, None)
    new = from_latents(model, config.model.latent_dim, experiment.shape, config.seed)
    return make_sampler(new, config.eval.batch_size, None)


def build_model(experiment: Experiment, params: Params, frozen: Params, latent: Params | None) -> Model:
    method, unconditional = experiment.method, experiment.unconditional
    return Model(
        title=experiment.title,
        encode=lambda x: method.encode(params, frozen, x),
        score=(lambda z: method.score(params, frozen, z)) if method.score else None,
        likelihood=(lambda z: method.likelihood(params, frozen, z)) if method.likelihood else None,
        prior=unconditional(frozen) if unconditional else None,
        decoder=experiment.decoder,
        inverter=experiment.inverter,
        latent_prior=experiment.latent.method.score(latent, None, None) if experiment.latent else None,
    )


def lpips_files(config: ConfigDict, name: str) -> tuple[Path, Path] | None:
    """(torchvision's network, the reference's heads) in config.eval.lpips_dir, if it is given."""
    if not config.eval.lpips_dir:
        return None
    folder = Path(config.eval.lpips_dir).expanduser()
    networks, heads = sorted(folder.glob(f"{name}*-*.pth")), folder / f"{name}.pth"
    if len(networks) != 1 or not heads.exists():
        raise BadInput(
            f"config.eval.lpips_dir: expected {name}.pth (the heads of LPIPS 0.1) and one {name}*-*.pth (torchvision's "
            f"network) in {folder}, found {', '.join(sorted(p.name for p in folder.glob('*.pth'))) or 'neither'}"
        )
    return networks[0], heads


def build_subject(
    config: ConfigDict,
    experiment: Experiment,
    params: Params,
    frozen: Params,
    latent: Params | None,
    judges: Judges,
    parts: Parts,
) -> Subject:
    """`params` are the final stage's, `frozen` what it stands on, `latent` those of the prior of its codes, if there is one."""
    data = experiment.load()
    train, evaluated = data.split("train").images, evaluated_split(config, data)
    n = min(config.eval.n, len(evaluated))
    of_train, of_test = data.split("train").attributes, data.splits[config.eval.split].attributes
    known = of_train is not None and of_test is not None
    return make_subject(
        model=build_model(experiment, params, frozen, latent),
        data=Held(
            data.name,
            fingerprint(train),
            data.levels,
            train,
            evaluated,
            to_model(take(evaluated, np.arange(n)), data.levels),
            Attributes(data.attributes, np.asarray(of_train), np.asarray(of_test)[:n]) if known else None,
        ),
        judges=judges,
        parts=parts,
        latent=config.model.latent_dim,
        samples=config.eval.samples,
        batch_size=config.eval.batch_size,
        seed=config.seed,
    )
