"""config.stages -> stages of training."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from sde_vae.build.fields import HAS_LATENT, PAIRS
from sde_vae.build.labels import labels_of
from sde_vae.build.objectives import build_objective
from sde_vae.build.preview import Preview
from sde_vae.data.dataset import Dataset, Images
from sde_vae.data.io.records import FirstChannels
from sde_vae.data.pipeline import Pipeline
from sde_vae.diffusion.sdes import SDE
from sde_vae.errors import BadInput, choose
from sde_vae.inference.aggregate_posterior import moments_of_codes
from sde_vae.methods.latent_prior import latent_prior
from sde_vae.methods.method import Method, required
from sde_vae.methods.prior import predicts_velocity, prior
from sde_vae.nets.mlp import MLP
from sde_vae.nets.network import network
from sde_vae.training.stage import Stage, unchanged
from sde_vae.training.train_state import adam, constant, cosine
from sde_vae.types import Frozen

DECAYS = {"constant": constant, "cosine": cosine}
# MakeStage(name, method, depends_on) -> Stage
MakeStage = Callable[..., Stage]
# What a builder returns: the method's title, its unconditional prior or None, and its stages in the order of training.
Built = tuple[str, Method | None, tuple[Stage, ...]]


class Prior(NamedTuple):
    """The unconditional diffusion model that a method stands on.

    `stages` has the stage that trains it: none where another run or a pre-trained model replaces it. `has_features` says whether its network
    gives the features on which heads and up paths stand: that of config.model.prior.body=unet does, without labels.
    """

    method: Method
    stages: tuple[Stage, ...]
    has_features: bool


MakePrior = Callable[[], Prior]


def build_stage(
    config: ConfigDict,
    load: Callable[[], Dataset],
    name: str,
    method: Method,
    depends_on: tuple[str, ...] = (),
    prepare: Callable[[Frozen], Frozen] = unchanged,
    preview: Preview | None = None,
) -> Stage:
    """Return the stage `name` of `method`, with the settings of config.stages.NAME and config.optim."""
    stage, optim = config.stages[name], config.optim
    synthetic = config.synthetic.n if name == "encoder" and HAS_LATENT.holds(config) else 0

    def open_data(images: Images | None) -> Pipeline:
        if (got := 0 if images is None else len(images)) != synthetic:
            raise ValueError(f"{name}: trains on {synthetic} synthetic images, got {got}")
        return build_pipeline(config, name, load(), images)

    return Stage(
        name=name,
        method=method,
        depends_on=depends_on,
        prepare=prepare,
        optimiser=adam(
            stage.learning_rate,
            stage.steps,
            stage.warmup,
            optim.clip,
            choose("config.optim.decay", optim.decay, DECAYS),
        ),
        ema_decay=optim.ema_decay,
        open_data=open_data,
        batch_size=stage.batch_size,
        accumulation=stage.accumulation,
        steps=stage.steps,
        checkpoint_every=stage.checkpoint_every,
        log_every=stage.log_every,
        keep=config.keep_checkpoints,
        parallel=config.parallel,
        seed=config.seed,
        synthetic=synthetic,
        preview_every=stage.preview_every,
        preview=preview,
    )


def require_batch(config: ConfigDict, name: str, data: Dataset) -> None:
    """Raise BadInput if one batch of the stage `name` is more than there are images."""
    size, n = config.stages[name].batch_size, len(data.split("train").images)
    if size > n:
        raise BadInput(
            f"config.stages.{name}.batch_size: got {size}, but {data.name} has {n} images to train on; take no more than that"
        )


def build_pipeline(config: ConfigDict, name: str, data: Dataset, synthetic: Images | None) -> Pipeline:
    """Return the batches of the stage `name`. Raises BadInput if one batch is more than there are images."""
    require_batch(config, name, data)
    images = data.split("train").images
    return Pipeline(
        # The prior of pairs is one of x.
        FirstChannels(images, config.data.channels) if name == "prior" and config.data.name == PAIRS else images,
        data.levels,
        config.stages[name].batch_size,
        config.seed,
        config.data.workers,
        jax.process_index(),
        jax.process_count(),
        synthetic,
        None if synthetic is None else config.synthetic.share,
        labels_of(config, data, "train") if name == "prior" else None,
    )


def build_latent_stage(config: ConfigDict, sde: SDE, final: Stage, load: Callable[[], Dataset]) -> Stage:
    """Return the stage that trains a diffusion model of the latent codes of `final`."""
    net, size = config.model.latent_prior, config.model.latent_dim
    codes = prior(
        sde,
        network(MLP(size, net.hidden, net.blocks), (size,), config.model.precision),
        predicts_velocity,
        *build_objective(config, "latent", sde),
    )

    def with_moments(frozen: Frozen) -> Frozen:
        encode = lambda frozen, x: required(final.method.encode, "encode")(frozen[final.name], frozen, x)
        return {**frozen, "moments": moments_of_codes(encode, frozen, config.stages.latent.batch_size, load())}

    method = latent_prior(codes, final.method, final.name)
    return build_stage(config, load, "latent", method, (*final.depends_on, final.name), with_moments)
