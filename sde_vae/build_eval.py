"""ConfigDict -> what an evaluation needs. With build.py, the only reader of config."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from sde_vae.data.dataset import Dataset, Images, fingerprint, take, to_model
from sde_vae.errors import BadInput, choose
from sde_vae.evaluators.bits_per_dim import bits_per_dim
from sde_vae.evaluators.importance import importance
from sde_vae.evaluators.inversion import inversion
from sde_vae.evaluators.ladder import ladder
from sde_vae.evaluators.reconstruction import reconstruction
from sde_vae.evaluators.samples import samples
from sde_vae.evaluators.streams import make_sampler, make_subject
from sde_vae.evaluators.subject import Evaluator, Held, Judges, Model, Sampler, Subject
from sde_vae.experiment import Experiment
from sde_vae.metrics.efficientnet import load_efficientnet
from sde_vae.metrics.inception import load_inception
from sde_vae.metrics.lpips import load_lpips
from sde_vae.metrics.lpips_weights import NETS
from sde_vae.metrics.pixels import load_pixels
from sde_vae.parts import Parts
from sde_vae.types import Params

HELD_OUT = ("test", "valid")
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
}


def build_evaluators(config: ConfigDict) -> dict[str, Evaluator]:
    """Raises BadInput for an unknown name in config.eval; what is not installed is found when it is loaded."""
    choose("config.eval.extractor", config.eval.extractor, EXTRACTORS)
    for name in config.eval.lpips:
        choose("config.eval.lpips", name, NETS)
    choose("config.eval.split", config.eval.split, dict.fromkeys(HELD_OUT))
    return {name: choose("config.eval.evaluators", name, EVALUATORS) for name in config.eval.evaluators}


def held_out_split(config: ConfigDict, data: Dataset) -> Images:
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


def build_sampler(config: ConfigDict, experiment: Experiment, prior_params: Params) -> Sampler:
    prior = experiment.prior.score(prior_params, None, None)
    return make_sampler(experiment.decoder, prior, experiment.shape, config.eval.batch_size, config.seed, None)


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
    prior_params: Params,
    judges: Judges,
    parts: Parts,
) -> Subject:
    data = experiment.load()
    train, held_out = data.split("train").images, held_out_split(config, data)
    n = min(config.eval.n, len(held_out))
    return make_subject(
        model=Model(
            encode=lambda x: experiment.method.encode(params, prior_params, x),
            score=lambda z: experiment.method.score(params, prior_params, z),
            prior=experiment.prior.score(prior_params, None, None),
            decoder=experiment.decoder,
            inverter=experiment.inverter,
        ),
        data=Held(
            data.name,
            fingerprint(train),
            data.levels,
            train,
            held_out,
            to_model(take(held_out, np.arange(n)), data.levels),
        ),
        judges=judges,
        parts=parts,
        latent=config.model.latent_dim,
        samples=config.eval.samples,
        batch_size=config.eval.batch_size,
        seed=config.seed,
    )
