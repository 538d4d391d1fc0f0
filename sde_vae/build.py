"""ConfigDict -> objects. The files build*.py are the only readers of config: below them nothing knows that there is one."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from sde_vae import sdes
from sde_vae.build_eval import build_evaluators
from sde_vae.build_methods import Part, Plan, Shape, build_plan, build_prior
from sde_vae.build_sampling import build_decoder, build_inverter, with_prior_below
from sde_vae.data.dataset import DataOptions, Dataset, Images
from sde_vae.data.decode import FILTERS
from sde_vae.data.load import load
from sde_vae.data.pipeline import Pipeline
from sde_vae.errors import BadInput, choose
from sde_vae.evaluators.codes import aggregate
from sde_vae.evaluators.streams import make_encode
from sde_vae.experiment import Experiment
from sde_vae.gaussians import DiagGaussian
from sde_vae.method import Method
from sde_vae.methods.latent_prior import Moments
from sde_vae.train import Stage
from sde_vae.train_state import adam, constant, cosine
from sde_vae.types import Points

SDES = {"vp": sdes.VP, "cosine_vp": sdes.CosineVP, "sub_vp": sdes.SubVP, "ve": sdes.VE}
DECAYS = {"constant": constant, "cosine": cosine}
NETS = ("prior", "encoder", "decoder", "correction")
STAGES = ("prior", "encoder", "correction", "latent")


def build(config: ConfigDict) -> Experiment:
    """Raises BadInput that names the field, the value and what is allowed."""
    check_values(config)
    size = config.data.image_size
    shape = (size, size, config.data.channels)
    sde = build_sde(config.sde)
    # Read once, however often it is asked for.
    open_dataset = cache(partial(load, config.data.name, data_options(config)))
    moments = partial(moments_of_codes, batch_size=config.stages.latent.batch_size, open_dataset=open_dataset)
    plan = build_plan(config, sde, shape, moments)
    stage = lambda part: build_stage(config, part, open_dataset)
    final = stage(plan.final)
    latent = stage(plan.latent_prior) if plan.latent_prior else None
    return Experiment(
        title=plan.title,
        shape=shape,
        prior=plan.prior,
        unconditional=plan.unconditional,
        method=with_prior_below(config, sde, plan.unconditional, plan.final.method),
        stages=(*map(stage, plan.before), final, *([latent] if latent else [])),
        final=final,
        latent=latent,
        drawn_from=build_drawn_from(config, sde, shape, plan),
        load=open_dataset,
        decoder=build_decoder(config, sde),
        inverter=build_inverter(config, sde),
        evaluators=build_evaluators(config, plan),
    )


def build_sde(config: ConfigDict) -> sdes.SDE:
    """The SDE named, with those of the section's fields that it has."""
    cls = choose("config.sde.name", config.name, SDES)
    return cls(**{field.name: config[field.name] for field in dataclasses.fields(cls) if field.name in config})


def build_stage(config: ConfigDict, part: Part, open_dataset: Callable[[], Dataset]) -> Stage:
    stage, optim = config.stages[part.name], config.optim

    draws = config.draws.n if part.name == "encoder" else 0

    def open_data(drawn: Images | None) -> Pipeline:
        data = open_dataset()
        images = data.split("train").images
        n = len(images)
        if stage.batch_size > n:
            raise BadInput(
                f"config.stages.{part.name}.batch_size: got {stage.batch_size}, but {data.name} has {n} images to train on; "
                "take no more than that"
            )
        here, hosts = jax.process_index(), jax.process_count()
        given = 0 if drawn is None else len(drawn)
        if given != draws:
            raise ValueError(f"{part.name}: trains on {draws} drawn images, got {given}")
        share = config.draws.share if draws else None
        workers = config.data.workers
        return Pipeline(images, data.levels, stage.batch_size, config.seed, workers, here, hosts, drawn, share)

    return Stage(
        name=part.name,
        method=part.method,
        stands_on=part.stands_on,
        frozen=part.frozen,
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
        draws=draws,
    )


def build_drawn_from(config: ConfigDict, sde: sdes.SDE, shape: Shape, plan: Plan) -> Method | None:
    """The prior, if the encoder trains on draws from it; another run's, of a method that has none of its own."""
    if not config.draws.n:
        return None
    if plan.prior:
        return plan.prior
    if not config.prior.checkpoint:
        raise BadInput(
            f"config.draws.n: got {config.draws.n}, but {plan.title} has no prior to draw images from; name another run's in "
            "config.prior.checkpoint, or take config.draws.n=0"
        )
    return build_prior(config, sde, shape)


def moments_of_codes(
    encode: Callable[[Points], DiagGaussian], batch_size: int, open_dataset: Callable[[], Dataset]
) -> Moments:
    """Over the training images."""
    data = open_dataset()
    found = aggregate(make_encode(encode, batch_size), data.split("train").images, data.levels)
    return Moments(*(jnp.asarray(of, jnp.float32) for of in (found.mean, found.std)))


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
    counts += [f"model.{net}.{field}" for net in NETS for field in ("channels", "blocks")]
    positive = ["sde.t_min", "model.log_var_bound", "optim.clip"]
    positive += [f"sampling.{field}" for field in ("rho", "snr", "rtol", "atol")]
    counts += ["model.latent_prior.blocks"]
    counts += [f"stages.{stage}.steps" for stage in ("prior", "encoder")]
    for stage in STAGES:
        counts += [f"stages.{stage}.{f}" for f in ("batch_size", "checkpoint_every", "log_every")]
        positive += [f"stages.{stage}.learning_rate"]
    # Distances between sets take a few images.
    for name in ("eval.n", "eval.samples"):
        _require(config, name, lambda v: v >= 4, "at least 4")
    for name in counts:
        _require(config, name, lambda v: v >= 1, "at least 1")
    for name in positive:
        _require(config, name, lambda v: v > 0 and np.isfinite(v), "above 0")
    at_least_zero = ["draws.n", "model.encoder.statistics", "loss.beta", "loss.free_bits", "loss.kl_warmup"]
    at_least_zero += [f"stages.{stage}.steps" for stage in ("correction", "latent")]
    for name in (*at_least_zero, "optim.warmup", "data.crop", "data.workers", "sampling.churn"):
        _require(config, name, lambda v: v >= 0, "at least 0")
    for net in NETS:
        name = f"model.{net}.channels"
        _require(config, name, lambda v: v % 4 == 0 and (v <= 128 or v % 32 == 0), "a multiple of 4 (of 32 above 128)")
    for name in (
        "loss.latent_dropout",
        *(f"model.{net}.dropout" for net in ("prior", "encoder", "decoder", "correction")),
    ):
        _require(config, name, lambda v: 0 <= v < 1, "in [0, 1)")
    _require(
        config, "draws.share", lambda v: 0 < v < 1, "between 0 and 1: to train without draws, take config.draws.n=0"
    )
    _require(config, "model.latent_prior.hidden", lambda v: v >= 16 and v % 8 == 0, "a multiple of 8, at least 16")
    _require(config, "sampling.eta", lambda v: 0 <= v <= 1, "in [0, 1]")
    _require(config, "sampling.guidance", np.isfinite, "a finite number")
    _require(config, "optim.ema_decay", lambda v: 0 <= v < 1, "in [0, 1)")
    steps, bound = config.stages.encoder.steps, config.model.log_var_bound
    _require(
        config,
        "loss.kl_warmup",
        lambda v: v <= steps,
        f"at most config.stages.encoder.steps, {steps}: beta would not reach its value",
    )
    _require(
        config,
        "model.likelihood.log_var",
        lambda v: -bound < v < bound,
        f"within config.model.log_var_bound, {bound:g}",
    )


def _require(config: ConfigDict, name: str, allowed: Callable[[Any], bool], meaning: str) -> None:
    value: Any = config
    for part in name.split("."):
        value = value[part]
    if not allowed(value):
        raise BadInput(f"config.{name}: got {value!r}, expected {meaning}")
