"""Folders of diffusers with a UNet2DModel: a pipeline (unet/, scheduler/), a flat one (all files side by side), or a bare network.

The folder says what it is. Only JSON and tensors are read: nothing of diffusers or torch is needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.errors import BadInput, choose, shortened
from sde_vae.nets.network import network
from sde_vae.nets.unet2d import UNet2D
from sde_vae.nets.unet2d_options import UNet2DOptions
from sde_vae.pretrained.arrays import read_arrays
from sde_vae.pretrained.diffusers_config import read_options
from sde_vae.pretrained.diffusers_names import found_name, tensor_name, to_parameter
from sde_vae.pretrained.diffusers_schedulers import NAMED, Schedule, read_schedule
from sde_vae.pretrained.json_files import read_object
from sde_vae.pretrained.spec import PriorFile, PriorSpec
from sde_vae.types import Params

# The weights that are wanted most come first.
WEIGHTS = tuple(
    f"diffusion_pytorch_model{variant}.{ending}" for variant in ("", ".fp16") for ending in ("safetensors", "bin")
)
FIELD = "config.prior.scheduler"


class Layout(NamedTuple):
    """Where the parts of a folder are: its network, its scheduler if it has one, and what was chosen."""

    unet: Path
    scheduler: Path | None
    notes: tuple[str, ...] = ()


def find(path: Path, scheduler: str = "") -> PriorFile | None:
    """Return the model of a diffusers folder, or None if `path` is none.

    `scheduler` is the path of a scheduler_config.json, a folder with one, or a name of `NAMED`; it replaces the folder's own, and a bare
    network needs it. Raises BadInput for a folder of diffusers with a network, an option or a scheduler that we do not have.
    """
    layout = _layout(path)
    if layout is None:
        return None
    config_file = layout.unet / "config.json"
    options, assumed = read_options(read_object(config_file), str(config_file))
    weights = _weights(layout.unet)
    schedule = _schedule(path, layout, scheduler)
    of_time, t_min = _of_time(options, schedule, str(config_file))
    spec = PriorSpec(
        source="diffusers UNet2DModel",
        body="unet2d",
        options=options._asdict(),
        image_shape=(*_size(options, str(config_file)), options.in_channels),
        prediction=schedule.prediction,
        schedule={"name": "discrete_vp", "alphas_cumprod": list(schedule.alphas_cumprod), "t_min": t_min},
        notes=(*layout.notes, *assumed, *schedule.notes, *of_time),
    )
    return PriorFile(spec, lambda: read_parameters(weights, options))


def read_parameters(path: Path, options: UNet2DOptions) -> Params:
    """Return the parameters of UNet2D, float32, that a weight file of diffusers holds.

    Raises BadInput, naming the file and the tensor, for one that is missing, of another shape, not finite, or none of the network's.
    """
    tensors = read_arrays(path)
    try:
        return _parameters(tensors, options)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _parameters(tensors: Mapping[str, np.ndarray], options: UNet2DOptions) -> Params:
    used = set()

    def read(place: tuple[Any, ...], expected: jax.ShapeDtypeStruct) -> jax.Array:
        path = tuple(key.key for key in place)
        if (name := found_name(path, tensors)) is None:
            raise BadInput(f"{tensor_name(path)} is missing, which the options in config.json ask for")
        used.add(name)
        parameter = to_parameter(name, tensors[name], expected.shape)
        if not np.all(np.isfinite(parameter)):
            raise BadInput(f"{name} has numbers that are not finite; fetch the file again")
        return jnp.asarray(parameter)

    parameters = jax.tree_util.tree_map_with_path(read, shapes_of(options))
    if more := sorted(set(tensors) - used):
        raise BadInput(f"{shortened(more[0])} (of {len(more)}) is not a tensor of the network in config.json")
    return parameters


def shapes_of(options: UNet2DOptions) -> Params:
    """Return the shapes of the parameters of UNet2D, without making any."""
    side = 2 ** (len(options.block_out_channels) - 1)
    return jax.eval_shape(network(UNet2D(options), (side, side, options.in_channels)).init, jax.random.key(0))


def _layout(path: Path) -> Layout | None:
    """Return where the parts of a folder are, or None if it is not one of diffusers."""
    index = path / "model_index.json"
    found = [name for name in ("unet_ema", "unet") if (path / name / "config.json").is_file()]
    if found:
        _refuse_latents(index)
        chosen = [f"the averaged weights (EMA) of {found[0]}/ are read"] if found[0] == "unet_ema" else []
        return Layout(path / found[0], _scheduler_file(path), tuple(chosen))
    config = path / "config.json"
    if config.is_file() and (index.is_file() or _has_weights(path) or "_class_name" in read_object(config)):
        return Layout(path, _scheduler_file(path))
    if index.is_file():
        raise BadInput(
            f"{path}: has a model_index.json, and no unet/config.json; expected a pipeline with a UNet2DModel"
        )
    return None


def _refuse_latents(index: Path) -> None:
    parts = read_object(index) if index.is_file() else {}
    coders = [name for name in ("vae", "vqvae") if parts.get(name)]
    if coders:
        raise BadInput(f"{index}: the pipeline has a {coders[0]}: its network is of latents, expected one of images")


def _scheduler_file(path: Path) -> Path | None:
    """Return the scheduler_config.json at `path`, which may be one, or that in it or in its scheduler/."""
    places = (path, path / "scheduler_config.json", path / "scheduler" / "scheduler_config.json")
    return next((place for place in places if place.is_file()), None)


def _schedule(path: Path, layout: Layout, scheduler: str) -> Schedule:
    if not scheduler:
        if layout.scheduler is None:
            raise BadInput(
                f"{FIELD}: {path} has no scheduler_config.json; give the path of the one that the network was trained with, or one of: "
                f"{', '.join(sorted(NAMED))}"
            )
        return read_schedule(read_object(layout.scheduler), str(layout.scheduler))
    given = Path(scheduler).expanduser()
    if (file := _scheduler_file(given)) is not None:
        return _noted(read_schedule(read_object(file), str(file)), f"the schedule is that of {file}, as {FIELD} says")
    if given.exists():
        raise BadInput(f"{FIELD}: {given} has no scheduler_config.json; give the path of one")
    named = choose(f"{FIELD} (no such file)", scheduler, NAMED)
    return _noted(read_schedule(named, FIELD), f"the schedule is {scheduler}, as {FIELD} says")


def _noted(schedule: Schedule, note: str) -> Schedule:
    return schedule._replace(notes=(note, *schedule.notes))


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in WEIGHTS)


def _weights(folder: Path) -> Path:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    shards = [name for name in WEIGHTS if (folder / f"{name}.index.json").is_file()]
    if shards:
        raise BadInput(
            f"{folder}: the weights are in several files ({shards[0]}.index.json), expected one, {shards[0]}"
        )
    raise BadInput(f"{folder}: no weights; expected {' or '.join(WEIGHTS[:2])}")


def _size(options: UNet2DOptions, where: str) -> tuple[int, int]:
    """Return (height, width) of the images, (0, 0) if it is not said. Raises BadInput for a size that cannot be halved often enough."""
    if (size := options.sample_size) is None:
        return 0, 0
    height, width = (size, size) if isinstance(size, int) else size
    least = 2 ** (len(options.block_out_channels) - 1)
    if height % least or width % least:
        raise BadInput(
            f"{where}: sample_size is {size}, expected multiples of {least} for {len(options.block_out_channels)} sizes"
        )
    return height, width


def _of_time(options: UNet2DOptions, schedule: Schedule, where: str) -> tuple[list[str], float]:
    """Return notes on the times of the network, and the first at which it can be evaluated."""
    steps = len(schedule.alphas_cumprod)
    if options.time_embedding_type == "fourier":
        return ["time_embedding_type fourier takes the logarithm of the step: step 0 is left out"], 1.0
    if options.time_embedding_type != "learned":
        return [], 0.0
    if options.num_train_timesteps != steps:
        raise BadInput(
            f"{where}: num_train_timesteps is {options.num_train_timesteps}, expected {steps}, the scheduler's steps"
        )
    return ["time_embedding_type learned has a row for each step: a time between two steps takes the nearest row"], 0.0
