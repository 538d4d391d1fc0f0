"""Files with the names of guided-diffusion (arXiv:2105.05233) and improved-diffusion (arXiv:2102.09672).

So are also the files of DPS (arXiv:2209.14687) and of diffusion autoencoders (arXiv:2111.15640), whose networks lie within a file of a
whole training. The U-Net is UNet2D. Its sizes are read from the shapes; a preset, or a JSON file beside the file, says the rest.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.errors import BadInput, shortened
from sde_vae.nets.unet2d_options import UNet2DOptions
from sde_vae.pretrained.arrays import is_known, read_arrays, read_shapes
from sde_vae.pretrained.diffusers import shapes_of
from sde_vae.pretrained.guided_diffusion_names import Source, source_of, tensor_shape, to_parameter
from sde_vae.pretrained.guided_diffusion_presets import alphas_cumprod, settings_for
from sde_vae.pretrained.guided_diffusion_shapes import options_of, with_heads
from sde_vae.pretrained.spec import PriorFile, PriorSpec
from sde_vae.types import Params

# The names of the network, after a prefix such as state_dict/ema_model.
NETWORK = re.compile(r"(?:^|.*?[./])(?=(?:time_embed|label_emb|input_blocks|middle_block|output_blocks|out)\.)")
FIRST = "time_embed.0.weight"


def find(path: Path, preset: str = "") -> PriorFile | None:
    """Return the model in a file with the names of guided-diffusion, or None if it is none. Names and shapes alone are read.

    `preset` is a name of `PRESETS`; without one, the file PATH.json has the flags of the training. Raises BadInput, naming the file and
    the tensor or the flag, for a network that we do not have, and if heads and schedule are not known.
    """
    if not path.is_file() or not is_known(path):
        return None
    everywhere = read_shapes(path, lambda name: NETWORK.match(name) is not None)
    prefixes = {name.removesuffix(FIRST) for name in everywhere if name.endswith(FIRST)}
    prefixes = {p for p in prefixes if f"{p}input_blocks.0.0.weight" in everywhere}
    if not prefixes:
        return None
    # Averaged weights first.
    prefix = min(prefixes, key=lambda p: ("ema" not in p, len(p), p))
    shapes = {name[len(prefix) :]: shape for name, shape in everywhere.items() if _of(prefix, name)}
    where = f"{path}: {shortened(prefix)}" if prefix else str(path)
    options = options_of(shapes, where)
    settings, assumed = settings_for(path, preset, options.block_out_channels, options.layers_per_block)
    options = with_heads(options, settings, where)
    expected = shapes_of(options)
    channels = _check(shapes, expected, options, where)
    spec = PriorSpec(
        source="guided-diffusion",
        body="unet2d",
        options=options._asdict(),
        image_shape=(settings.image_size, settings.image_size, options.in_channels),
        prediction="denoised" if settings.predict_xstart else "noise",
        schedule={"name": "discrete_vp", "alphas_cumprod": alphas_cumprod(settings), "t_min": 0.0},
        time={"step_scale": 1000 / settings.diffusion_steps} if settings.rescale_timesteps else "step",
        notes=(*_of_choice(prefix, prefixes), *assumed, *_of_variance(channels, options)),
    )
    return PriorFile(spec, lambda: _read(path, prefix, expected, options, settings.use_new_attention_order))


def _read(path: Path, prefix: str, shapes: Params, options: UNet2DOptions, new_order: bool) -> Params:
    """Return the parameters of UNet2D, float32, of the network whose tensors have names after `prefix`. Raises BadInput as `find` does."""
    tensors = {name[len(prefix) :]: a for name, a in read_arrays(path, lambda name: _of(prefix, name)).items()}
    _check({name: a.shape for name, a in tensors.items()}, shapes, options, str(path))

    def read(place: tuple[Any, ...], expected: jax.ShapeDtypeStruct) -> jax.Array:
        source = _source(place, options)
        tensor = tensors[source.name]
        if not (np.issubdtype(tensor.dtype, np.floating) or tensor.dtype.name == "bfloat16"):
            raise BadInput(f"{path}: {source.name} is of type {tensor.dtype.name}, expected floats")
        width = expected.shape[-1]
        heads = width // (options.attention_head_dim or width)
        try:
            return jnp.asarray(to_parameter(source, tensor, expected.shape, heads, new_order))
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error

    return jax.tree_util.tree_map_with_path(read, shapes)


def _of(prefix: str, name: str) -> bool:
    """Return whether a name is of the network after the prefix."""
    found = NETWORK.match(name)
    return found is not None and found.end() == len(prefix) and name.startswith(prefix)


def _check(shapes: Mapping[str, tuple[int, ...]], parameters: Params, options: UNet2DOptions, where: str) -> int:
    """Return the channels of the output. Raises BadInput, naming the first tensor that is missing, of another shape, or one too many."""
    channels = (shapes.get("out.2.weight") or (0,))[0]
    if channels not in (options.in_channels, 2 * options.in_channels):
        raise BadInput(
            f"{where}: out.2.weight gives {channels} channels, expected {options.in_channels}, or twice as many"
        )
    used = set()
    for place, leaf in jax.tree_util.tree_flatten_with_path(parameters)[0]:
        source = _source(place, options)
        if (found := shapes.get(source.name)) is None:
            raise BadInput(f"{where}: {source.name} is missing")
        if found != (expected := tensor_shape(source, leaf.shape, channels)):
            raise BadInput(f"{where}: {source.name} has the shape {[*found]}, expected {[*expected]}")
        used.add(source.name)
    if more := sorted(set(shapes) - used):
        raise BadInput(
            f"{where}: {shortened(more[0])} (of {len(more)}) is no tensor of guided-diffusion's U-Net without classes"
        )
    return channels


def _source(place: tuple[Any, ...], options: UNet2DOptions) -> Source:
    return source_of(tuple(key.key for key in place), options)


def _of_choice(prefix: str, prefixes: set[str]) -> list[str]:
    """Return a note on the network that is read, unless the file holds nothing else."""
    others = ", ".join(shortened(other or "(no prefix)", 60) for other in sorted(prefixes - {prefix})[:3])
    unread = f"; others are not read: {others}" if others else ""
    return [f"the network is that of {shortened(prefix)}*{unread}"] if prefix or others else []


def _of_variance(channels: int, options: UNet2DOptions) -> list[str]:
    """Return a note on the variances that the network predicts, if it does."""
    taken = options.out_channels
    return (
        [f"the network also predicts variances: the first {taken} of its {channels} channels are taken"]
        if channels > taken
        else []
    )
