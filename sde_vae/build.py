"""ConfigDict -> objects. With build_eval.py and build_sampling.py, the only reader of config: below them nothing knows that there is one."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from sde_vae import losses, sdes
from sde_vae.build_eval import build_evaluators
from sde_vae.build_sampling import build_decoder, build_inverter, with_prior_below
from sde_vae.data.dataset import DataOptions, Dataset
from sde_vae.data.decode import FILTERS
from sde_vae.data.load import load
from sde_vae.data.pipeline import Pipeline
from sde_vae.errors import BadInput, choose
from sde_vae.experiment import Experiment
from sde_vae.method import Method
from sde_vae.methods.prior import predicts_noise, predicts_velocity, prior
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.encoder import Encoder, HalfUNet
from sde_vae.nets.network import network
from sde_vae.nets.unet import UNet
from sde_vae.train import Stage
from sde_vae.train_state import adam, constant, cosine

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
DECAYS = {"constant": constant, "cosine": cosine}


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
    return Experiment(
        shape=shape,
        prior=prior_method,
        method=with_prior_below(config, sde, prior_method, method),
        stages=tuple(stages),
        load=open_dataset,
        decoder=build_decoder(config, sde),
        inverter=build_inverter(config, sde),
        evaluators=build_evaluators(config),
    )


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
        "sampling.corrector_moves",
        "eval.batch_size",
    ]
    counts += ["keep_checkpoints"]
    counts += [f"model.{net}.{field}" for net in ("prior", "encoder") for field in ("channels", "blocks")]
    positive = ["sde.t_min", "model.log_var_bound", "optim.clip"]
    positive += [f"sampling.{field}" for field in ("rho", "snr", "rtol", "atol")]
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
    for name in ("loss.beta", "optim.warmup", "data.crop", "data.workers", "sampling.churn"):
        _require(config, name, lambda v: v >= 0, "at least 0")
    for name in ("model.prior.channels", "model.encoder.channels"):
        _require(config, name, lambda v: v % 4 == 0 and (v <= 128 or v % 32 == 0), "a multiple of 4 (of 32 above 128)")
    _require(config, "model.prior.dropout", lambda v: 0 <= v < 1, "in [0, 1)")
    _require(config, "sampling.eta", lambda v: 0 <= v <= 1, "in [0, 1]")
    _require(config, "optim.ema_decay", lambda v: 0 <= v < 1, "in [0, 1)")
    _require(config, "stages.correction.steps", lambda v: v == 0, "0: score_vae has no correction stage")


def _require(config: ConfigDict, name: str, allowed: Callable[[Any], bool], meaning: str) -> None:
    value: Any = config
    for part in name.split("."):
        value = value[part]
    if not allowed(value):
        raise BadInput(f"config.{name}: got {value!r}, expected {meaning}")
