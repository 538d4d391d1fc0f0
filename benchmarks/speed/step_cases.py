"""The networks that `benchmarks.speed.step_time` times: those of the configs, with one set of parameters for both libraries."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from ml_collections import ConfigDict

from benchmarks.comparison.settings import NETWORK
from benchmarks.speed.torch_steps import Draws, Nets
from benchmarks.speed.torch_twin import loud_parameters
from sde_vae.arrays import keys_of, normal
from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import Experiment, build
from sde_vae.build.objectives import build_objective
from sde_vae.methods.prior import network_log_snr
from sde_vae.training.stage import Stage
from sde_vae.types import Batch, PRNGKey

# Size -> (config, batch).
SIZES = {
    "8x8": ("scorevae_digits", 128),
    "28x28": ("scorevae_fashion_mnist", 32),
    "32x32x3": ("scorevae_avatars32", 32),
    "64x64x3": ("scorevae_celeba64", 4),
}
# Kind -> the fields that differ, and the stage that is trained.
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "prior": ({}, "prior"),
    "encoder": ({}, "encoder"),
    "correction": ({"stages.correction.steps": 1}, "correction"),
    "cde": ({"method": "cde", "task.name": "inpainting", "eval.evaluators": ("restoration",)}, "encoder"),
    "unet2d": ({"model.prior.body": "unet2d"}, "prior"),
}
# The plain encoder of x_t, without dropout, and the objective of every other prior.
PLAIN = {
    "model.encoder.input": "x_t",
    "model.encoder.num_statistics": 0,
    "loss.log_density": "full",
    "model.prediction": "velocity",
    **{f"model.{net}.dropout": 0.0 for net in ("prior", "encoder", "decoder", "correction")},
    **{f"stages.{stage}.weight": "simple" for stage in ("prior", "encoder", "correction")},
    **{f"stages.{stage}.times": "uniform_t" for stage in ("prior", "encoder", "correction")},
}


class Case(NamedTuple):
    """One kind of step at one size: what sde_vae trains, with the parameters of all its stages, and a batch of images."""

    kind: str
    config: ConfigDict
    experiment: Experiment
    stage: Stage
    params: dict[str, Any]
    batch: Batch

    @property
    def frozen(self) -> dict[str, Any]:
        return {name: self.params[name] for name in self.stage.depends_on}


def case(kind: str, size: str, changes: dict[str, Any] | None = None) -> Case:
    name, batch = SIZES[size]
    of_kind, stage_name = KINDS[kind]
    config = load_config(name)
    if kind == "cde":
        for field in NETWORK:
            setattr(config.model.decoder, field, config.model.prior[field])
    config = set_fields(config, PLAIN | of_kind | (changes or {}))
    batch = config.stages[stage_name].batch_size = (changes or {}).get(f"stages.{stage_name}.batch_size", batch)
    experiment = build(config)
    stage = next(stage for stage in experiment.stages if stage.name == stage_name)
    params = {stage.name: loud_parameters(stage.method) for stage in experiment.stages}
    x = np.random.default_rng(0).uniform(-1, 1, (batch, *experiment.shape)).astype(np.float32)
    return Case(kind, config, experiment, stage, params, Batch(jnp.asarray(x), jnp.arange(batch), jnp.int32(0)))


def nets(case: Case) -> Nets:
    """The sizes of the case's networks, for torch."""
    model, sde = case.config.model, case.experiment.decoder.sde
    sizes = {
        name: {
            "channels": model[name].channels,
            "multipliers": tuple(model[name].multipliers),
            "blocks": model[name].blocks,
            "at_sizes": tuple(model[name].attention),
        }
        for name in ("prior", "encoder", "correction", "decoder")
    }
    clean = float(network_log_snr(sde, jnp.zeros(1))[0])
    return Nets(sizes, model.latent_dim, model.log_var_bound, case.config.loss.beta, clean)


def draws(case: Case, key: PRNGKey) -> tuple[np.ndarray, dict[str, Any]]:
    """What sde_vae's loss draws of this key: (the images, with their observations in further channels; the fields of Draws), NHWC."""
    sde, index, x = case.experiment.decoder.sde, case.batch.index, case.batch.x
    z_eps = jnp.zeros((len(x), case.config.model.latent_dim))
    if case.kind == "prior":
        key, _ = jax.random.split(key)
    elif case.kind == "cde":
        key_y, _, key = jax.random.split(key, 3)
        x, y = case.experiment.measurement.observe(x, keys_of(key_y, index))
        x = jnp.concatenate([x, y.y, y.mask], axis=-1)
    else:
        key_z, *keys = jax.random.split(key, 4 if case.kind == "encoder" else 3)
        key = keys[0] if case.kind == "encoder" else keys[-1]
        z_eps = normal(keys_of(key_z, index), z_eps)
    key_t, key_eps = jax.random.split(key)
    times, weight = build_objective(case.config, case.stage.name, sde)
    t, dl_dp = times(key_t, index)
    found = {
        "alpha": sde.alpha(t),
        "sigma": sde.sigma(t),
        "log_snr": sde.log_snr(t),
        "factor": 0.5 * weight(sde.log_snr(t)) * dl_dp,
        "eps": normal(keys_of(key_eps, index), case.batch.x),
        "z_eps": z_eps,
    }
    return np.asarray(x), {name: np.asarray(value) for name, value in found.items()}


def in_torch(x: np.ndarray, found: dict[str, Any]) -> tuple[torch.Tensor, Draws]:
    """The same, as tensors."""
    image = lambda a: torch.from_numpy(np.array(a)).movedim(3, 1).contiguous(memory_format=torch.channels_last)
    tensors = {name: image(a) if name == "eps" else torch.from_numpy(np.array(a)) for name, a in found.items()}
    return image(x), Draws(**tensors)
