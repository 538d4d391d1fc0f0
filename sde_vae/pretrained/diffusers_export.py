"""Write a UNet2D as a folder of diffusers: a pipeline that DDPMPipeline and DDIMPipeline of that library load and sample from.

A network that takes logSNR goes out with time_embedding_type "learned": its table has one row a step, the sinusoids of that step's logSNR.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from sde_vae.diffusion.discrete_vp import DiscreteVP
from sde_vae.diffusion.sdes import SDE
from sde_vae.errors import BadInput
from sde_vae.files import write_json, written
from sde_vae.nets.unet2d_options import UNet2DOptions, check_options
from sde_vae.nets.unet2d_time import log_snr_rows
from sde_vae.pretrained.diffusers_config import MODEL
from sde_vae.pretrained.diffusers_names import tensor_name, to_tensor
from sde_vae.pretrained.diffusers_schedulers import DEFAULTS, NAMED, PREDICTIONS, alphas_cumprod
from sde_vae.types import Params

# The version whose files these are.
VERSION = "0.42.1"
STEPS = 1000


def export_unet2d(
    folder: Path,
    options: UNet2DOptions,
    params: Params,
    log_snrs: Sequence[float],
    prediction: str,
    clip_sample: bool = False,
) -> tuple[str, ...]:
    """Write a pipeline of diffusers to a new folder, whole or not at all, and return notes, one line each.

    `log_snrs` are those of the steps 0, 1, ...: see `log_snrs_of`. `prediction` is "noise", "denoised" or "velocity". With `clip_sample`
    the scheduler clips x_0 to [-1, 1] while it samples. Raises BadInput if the folder exists, or for a prediction that diffusers lacks.
    """
    if prediction not in PREDICTIONS.values():
        raise BadInput(
            f"config.model.prediction: got {prediction!r}, expected one that diffusers has: {', '.join(PREDICTIONS.values())}"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"--output: {folder} exists; give a folder that does not")
    if options.sample_size is None:
        raise BadInput("sample_size is not known, expected the size of the model's images")
    check_options(options)
    scheduler = _scheduler(log_snrs) | {
        "prediction_type": next(theirs for theirs, ours in PREDICTIONS.items() if ours == prediction),
        "clip_sample": clip_sample,
    }
    options, params, notes = _as_diffusers_takes(options, params, log_snrs)
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    try:
        write_json(part / "model_index.json", _described("DDPMPipeline") | _parts())
        write_json(part / "unet" / "config.json", _described(MODEL) | options._asdict())
        _write_tensors(part / "unet" / "diffusion_pytorch_model.safetensors", params)
        write_json(part / "scheduler" / "scheduler_config.json", _described("DDPMScheduler") | scheduler)
        with written(folder):
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return notes


def log_snrs_of(sde: SDE, steps: int = STEPS) -> tuple[float, ...]:
    """Return the logSNR of the steps of a schedule: those of a discrete one, or of `steps` times from t_min to T, evenly spaced.

    Raises BadInput for an SDE that does not keep the variance: a scheduler of diffusers is given by betas, and has alpha^2 + sigma^2 = 1.

    >>> from sde_vae.diffusion.sdes import VP
    >>> log_snrs_of(VP(), steps=3)
    (9.12, -2.46, -10.05)
    """
    if isinstance(sde, DiscreteVP):
        return sde.log_snrs
    t = jnp.linspace(sde.t_min, sde.T, steps)
    total = np.asarray(jnp.square(sde.alpha(t)) + jnp.square(sde.sigma(t)))
    if not np.allclose(total, 1, atol=1e-4):
        raise BadInput(
            f"config.sde.name: a prior of {type(sde).__name__} cannot be exported: diffusers' DDPM and DDIM schedulers keep the variance, "
            f"alpha^2 + sigma^2 = 1, and this SDE has {total.min():.4g} to {total.max():.4g}; expected vp or cosine_vp"
        )
    return tuple(np.asarray(sde.log_snr(t), np.float64).tolist())


def _scheduler(log_snrs: Sequence[float]) -> dict[str, Any]:
    """Return the schedule's options: a name of diffusers' if it is that schedule, and otherwise its betas."""
    log_bars = -np.logaddexp(0, -np.asarray(log_snrs, np.float64))
    for named in NAMED.values():
        values = named | {"num_train_timesteps": len(log_bars)}
        if len(log_bars) > 1 and np.allclose(np.log(alphas_cumprod(values, "")), log_bars, rtol=1e-9, atol=0):
            return {name: values[name] for name in DEFAULTS}
    betas = -np.expm1(np.diff(log_bars, prepend=0.0))
    if not np.all((betas > 0) & (betas.astype(np.float32) < 1)):
        raise BadInput("the schedule cannot be exported: a step's beta is not between 0 and 1 in float32")
    return DEFAULTS | {"num_train_timesteps": len(betas), "trained_betas": betas.tolist()}


def _as_diffusers_takes(
    options: UNet2DOptions, params: Params, log_snrs: Sequence[float]
) -> tuple[UNet2DOptions, Params, tuple[str, ...]]:
    if options.time_embedding_type != "log_snr":
        return options, params, ()
    rows = log_snr_rows(jnp.asarray(log_snrs, jnp.float32), options.block_out_channels[0])
    learned = options._replace(time_embedding_type="learned", num_train_timesteps=len(log_snrs))
    note = f"the embedding of logSNR is written as a learned table of {len(log_snrs)} rows, one a step"
    return learned, {**params, "time_proj": {"weight": rows}}, (note,)


def _write_tensors(path: Path, params: Params) -> None:
    tensors = {}
    for place, parameter in jax.tree_util.tree_leaves_with_path(params):
        name = tensor_name(tuple(key.key for key in place))
        tensors[name] = to_tensor(name, np.asarray(parameter, np.float32))
    with written(path):
        save_file(tensors, path, {"format": "pt"})


def _described(name: str) -> dict[str, Any]:
    return {"_class_name": name, "_diffusers_version": VERSION}


def _parts() -> dict[str, Any]:
    return {"scheduler": ["diffusers", "DDPMScheduler"], "unet": ["diffusers", MODEL]}
