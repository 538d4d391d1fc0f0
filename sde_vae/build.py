"""ConfigDict -> objects. The only reader of config: below this file nothing knows that there is one."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from sde_vae import losses, sdes, solvers
from sde_vae.data.dataset import DataOptions, Dataset, Images, fingerprint, take, to_model
from sde_vae.data.decode import FILTERS
from sde_vae.data.load import load
from sde_vae.data.pipeline import Pipeline
from sde_vae.errors import BadInput, choose
from sde_vae.evaluators.bits_per_dim import bits_per_dim
from sde_vae.evaluators.decoding import Decoder
from sde_vae.evaluators.reconstruction import reconstruction
from sde_vae.evaluators.samples import samples
from sde_vae.evaluators.subject import Evaluator, Held, Judges, Sampler, Subject, make_sampler, make_subject
from sde_vae.method import Method
from sde_vae.methods.prior import predicts_noise, predicts_velocity, prior
from sde_vae.methods.score_vae import score_vae
from sde_vae.metrics.efficientnet import load_efficientnet
from sde_vae.metrics.inception import load_inception
from sde_vae.metrics.lpips import load_lpips
from sde_vae.metrics.lpips_weights import NETS
from sde_vae.nets.encoder import Encoder, HalfUNet
from sde_vae.nets.network import network
from sde_vae.nets.unet import UNet
from sde_vae.parts import Parts
from sde_vae.train import Stage
from sde_vae.train_state import adam, constant, cosine
from sde_vae.types import Params

SDES = {"vp": sdes.VP, "cosine_vp": sdes.CosineVP, "sub_vp": sdes.SubVP, "ve": sdes.VE}
# Each takes (sde, sigmoid_bias) and uses what it needs.
WEIGHTS = {
    "likelihood": lambda sde, bias: losses.likelihood(),
    "simple": lambda sde, bias: losses.simple(sde),
    "p2": lambda sde, bias: losses.p2(sde),
    "min_snr": lambda sde, bias: losses.min_snr(sde),
    "sigmoid": lambda sde, bias: losses.sigmoid(bias),
}
TIMES = {"uniform_t": losses.uniform_t, "uniform_log_snr": losses.uniform_log_snr}
PREDICTIONS = {"noise": predicts_noise, "velocity": predicts_velocity}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
SOLVERS = {"euler_maruyama": solvers.euler_maruyama, "ddim": solvers.ddim}
GRIDS = {"uniform_t": solvers.uniform_t_grid, "uniform_log_snr": solvers.uniform_log_snr_grid}
DECAYS = {"constant": constant, "cosine": cosine}
HELD_OUT = ("test", "valid")
EXTRACTORS = {
    "none": lambda weights: None,
    "efflite0": lambda weights: load_efficientnet(),
    "fid": load_inception,
}
EVALUATORS = {"reconstruction": reconstruction, "samples": samples, "bits_per_dim": bits_per_dim}


class Experiment(NamedTuple):
    """Everything a run needs, the data apart: building it loads nothing and allocates nothing.

    `stages` are in the order of training; load() reads the data set; subject(...) is what the evaluators see.
    """

    shape: tuple[int, int, int]
    prior: Method
    method: Method
    stages: tuple[Stage, ...]
    load: Callable[[], Dataset]
    decoder: Decoder
    evaluators: dict[str, Evaluator]


def build(config: ConfigDict) -> Experiment:
    """Raises BadInput that names the field, the value and what is allowed."""
    check_values(config)
    choose("config.method", config.method, {"score_vae": None})
    size = config.data.image_size
    shape = (size, size, config.data.channels)
    sde = build_sde(config.sde)
    dtype = choose("config.model.dtype", config.model.dtype, DTYPES)
    prediction = choose("config.model.prediction", config.model.prediction, PREDICTIONS)

    unet = UNet(**_net("prior", config, size), dropout=config.model.prior.dropout, dtype=dtype)
    prior_method = prior(
        sde,
        network(unet, shape),
        prediction,
        choose("config.prior.times", config.prior.times, TIMES)(sde, config.stages.prior.batch_size),
        choose("config.prior.weight", config.prior.weight, WEIGHTS)(sde, config.loss.sigmoid_bias),
    )
    encoder = Encoder(HalfUNet(**_net("encoder", config, size)), config.model.latent_dim, config.model.log_var_bound)
    method = score_vae(
        sde,
        prior_method,
        network(encoder, shape),
        choose("config.loss.times", config.loss.times, TIMES)(sde, config.stages.encoder.batch_size),
        choose("config.loss.weight", config.loss.weight, WEIGHTS)(sde, config.loss.sigmoid_bias),
        config.loss.beta,
        config.sampling.guidance,
    )

    # Read once, however often it is asked for.
    open_dataset = cache(partial(load, config.data.name, data_options(config)))
    stages = [] if config.prior.checkpoint else [build_stage(config, "prior", prior_method, None, open_dataset)]
    stages.append(build_stage(config, "encoder", method, "prior", open_dataset))
    grid = choose("config.sampling.grid", config.sampling.grid, GRIDS)
    decoder = Decoder(
        sde, choose("config.sampling.solver", config.sampling.solver, SOLVERS), grid(sde, config.sampling.steps)
    )
    choose("config.eval.extractor", config.eval.extractor, EXTRACTORS)
    for name in config.eval.lpips:
        choose("config.eval.lpips", name, NETS)
    choose("config.eval.split", config.eval.split, dict.fromkeys(HELD_OUT))
    evaluators = {name: choose("config.eval.evaluators", name, EVALUATORS) for name in config.eval.evaluators}
    return Experiment(shape, prior_method, method, tuple(stages), open_dataset, decoder, evaluators)


def build_sde(config: ConfigDict) -> sdes.SDE:
    """The SDE named, with those of the section's fields that it has."""
    cls = choose("config.sde.name", config.name, SDES)
    return cls(**{field.name: config[field.name] for field in dataclasses.fields(cls) if field.name in config})


def build_stage(
    config: ConfigDict, name: str, method: Method, stands_on: str | None, open_dataset: Callable[[], Dataset]
) -> Stage:
    stage, optim = config.stages[name], config.optim

    def open_data() -> Pipeline:
        data = open_dataset()
        images = data.split("train").images
        n = len(images)
        if stage.batch_size > n:
            raise BadInput(
                f"config.stages.{name}.batch_size: got {stage.batch_size}, but {data.name} has {n} images to train on; "
                "take no more than that"
            )
        here, hosts = jax.process_index(), jax.process_count()
        return Pipeline(images, data.levels, stage.batch_size, config.seed, config.data.workers, here, hosts)

    return Stage(
        name=name,
        method=method,
        stands_on=stands_on,
        optimiser=adam(
            stage.learning_rate,
            stage.steps,
            optim.warmup,
            optim.clip,
            choose("config.optim.decay", optim.decay, DECAYS),
        ),
        ema_decay=optim.ema_decay,
        open_data=open_data,
        batch_size=stage.batch_size,
        steps=stage.steps,
        checkpoint_every=stage.checkpoint_every,
        log_every=stage.log_every,
        keep=config.keep_checkpoints,
        parallel=config.parallel,
        seed=config.seed,
    )


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
    extractor = choose("config.eval.extractor", config.eval.extractor, EXTRACTORS)(weights)
    lpips = {f"lpips_{name}": load_lpips(name, lpips_files(config, name)) for name in config.eval.lpips}
    told = {f"weights/{name}": network.identity for name, network in lpips.items()}
    if extractor:
        published = "as published" if extractor.verified else "not the file that was published"
        told[f"weights/{extractor.name}"] = f"sha256 {extractor.file}, {published}"
    moments = Path(config.data.cache).expanduser() / "moments"
    return Judges({name: network.distance for name, network in lpips.items()}, extractor, told, moments)


def build_sampler(config: ConfigDict, experiment: Experiment, prior_params: Params) -> Sampler:
    return make_sampler(
        experiment.decoder, experiment.prior, prior_params, experiment.shape, config.eval.batch_size, config.seed, None
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
    prior_params: Params,
    judges: Judges,
    parts: Parts,
) -> Subject:
    data = experiment.load()
    train, held_out = data.split("train").images, held_out_split(config, data)
    n = min(config.eval.n, len(held_out))
    return make_subject(
        decoder=experiment.decoder,
        method=experiment.method,
        params=params,
        prior=experiment.prior,
        prior_params=prior_params,
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


def data_options(config: ConfigDict) -> DataOptions:
    """The section config.data, as loaders see it."""
    choose("config.data.filter", config.data.filter, FILTERS)
    return DataOptions(
        dir=Path(config.data.dir).expanduser() if config.data.dir else None,
        image_size=config.data.image_size,
        channels=config.data.channels,
        crop=config.data.crop,
        filter=config.data.filter,
        skip_corrupt=config.data.skip_corrupt,
        cache=Path(config.data.cache).expanduser(),
    )


def _net(name: str, config: ConfigDict, size: int) -> dict[str, Any]:
    """The fields that the U-Net and the encoder share. Raises BadInput if the image does not halve often enough."""
    net = config.model[name]
    halvings = len(net.multipliers) - 1
    if size % 2**halvings:
        raise BadInput(
            f"config.data.image_size: got {size}, which config.model.{name}.multipliers halve {halvings} times; "
            f"it must be a multiple of {2**halvings}"
        )
    return {
        "channels": net.channels,
        "multipliers": tuple(net.multipliers),
        "blocks": net.blocks,
        "attention": tuple(net.attention),
    }


def check_values(config: ConfigDict) -> None:
    """BadInput for a number out of its range."""
    counts = [
        "data.image_size",
        "data.channels",
        "model.latent_dim",
        "sampling.steps",
        "eval.batch_size",
    ]
    counts += ["keep_checkpoints"]
    counts += [f"model.{net}.{field}" for net in ("prior", "encoder") for field in ("channels", "blocks")]
    positive = ["sde.t_min", "model.log_var_bound", "optim.clip"]
    for stage in ("prior", "encoder"):
        counts += [f"stages.{stage}.{f}" for f in ("steps", "batch_size", "checkpoint_every", "log_every")]
        positive += [f"stages.{stage}.learning_rate"]
    # Distances between sets take a few images.
    for name in ("eval.n", "eval.samples"):
        _require(config, name, lambda v: v >= 4, "at least 4")
    for name in counts:
        _require(config, name, lambda v: v >= 1, "at least 1")
    for name in positive:
        _require(config, name, lambda v: v > 0 and np.isfinite(v), "above 0")
    for name in ("loss.beta", "optim.warmup", "data.crop", "data.workers"):
        _require(config, name, lambda v: v >= 0, "at least 0")
    for name in ("model.prior.channels", "model.encoder.channels"):
        _require(config, name, lambda v: v % 4 == 0 and (v <= 128 or v % 32 == 0), "a multiple of 4 (of 32 above 128)")
    _require(config, "model.prior.dropout", lambda v: 0 <= v < 1, "in [0, 1)")
    _require(config, "optim.ema_decay", lambda v: 0 <= v < 1, "in [0, 1)")
    _require(config, "stages.correction.steps", lambda v: v == 0, "0: score_vae has no correction stage")


def _require(config: ConfigDict, name: str, allowed: Callable[[Any], bool], meaning: str) -> None:
    value: Any = config
    for part in name.split("."):
        value = value[part]
    if not allowed(value):
        raise BadInput(f"config.{name}: got {value!r}, expected {meaning}")
