"""The names of guided-diffusion's tensors, and the parameters of UNet2D: a mapping of one to the other.

The blocks of the way down are numbered through all sizes, input_blocks.N, with a block that halves after each size; those of the way up
likewise. A tensor qkv [3C, C, 1] holds three parameters.
"""

from typing import NamedTuple

import numpy as np

from sde_vae.errors import BadInput, shortened
from sde_vae.nets.unet2d_options import UP_BLOCKS, UNet2DOptions

Path = tuple[str, ...]

TOP = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
PARTS = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
    "group_norm": "norm",
    "to_q": "qkv",
    "to_k": "qkv",
    "to_v": "qkv",
    "to_out_0": "proj_out",
}
QKV = ("to_q", "to_k", "to_v")


class Source(NamedTuple):
    """The tensor that a parameter comes from, and which of the three parts of a qkv it is."""

    name: str
    part: int | None = None


def source_of(path: Path, options: UNet2DOptions) -> Source:
    """Return where the parameter of UNet2D at `path` is in a state dict of guided-diffusion.

    >>> source_of(("down_blocks_1", "resnets_0", "conv1", "kernel"), UNet2DOptions(layers_per_block=2)).name
    'input_blocks.4.0.in_layers.2.weight'
    """
    *modules, leaf = path
    ending = "bias" if leaf == "bias" else "weight"
    if (top := TOP.get(".".join(modules))) is not None:
        return Source(f"{top}.{ending}")
    *where, part = modules
    # A convolution that resamples is a module of its own: of the list alone there, and with the name conv here.
    block = _block(where, options)
    if part == "conv":
        return Source(f"{block}.{'op' if where[0].startswith('down') else 'conv'}.{ending}")
    return Source(f"{block}.{PARTS[part]}.{ending}", QKV.index(part) if part in QKV else None)


def _block(where: list[str], options: UNet2DOptions) -> str:
    """Return the name of the residual, attention or resampling block at ("down_blocks_1", "resnets_0")."""
    outer, inner = where
    kind, place = inner.rsplit("_", 1)
    if outer == "mid_block":
        return f"middle_block.{1 if kind == 'attentions' else int(place) * (1 + options.add_attention)}"
    side, level = outer.rsplit("_", 1)
    # The block that changes the size comes last; on the way up it is a module of the last block.
    first, blocks = int(level) * (options.layers_per_block + 1), options.layers_per_block
    number = first + (blocks if kind in ("downsamplers", "upsamplers") else int(place))
    if side == "down_blocks":
        return f"input_blocks.{1 + number}.{int(kind == 'attentions')}"
    attended = UP_BLOCKS[options.up_block_types[int(level)]][0]
    return f"output_blocks.{number}.{int(kind != 'resnets') + int(kind == 'upsamplers' and attended)}"


def tensor_shape(source: Source, shape: tuple[int, ...], channels: int) -> tuple[int, ...]:
    """Return the shape of the tensor of a parameter of `shape`. The tensor out.2 has `channels` channels."""
    if len(shape) == 4:
        return (channels if source.name.startswith("out.2.") else shape[3], shape[2], *shape[:2])
    if source.part is not None:
        return (3 * shape[-1], shape[0], 1) if len(shape) == 2 else (3 * shape[0],)
    if len(shape) == 2:
        return (shape[1], shape[0], 1) if ".proj_out." in source.name else shape[::-1]
    return (channels,) if source.name.startswith("out.2.") else shape


def to_parameter(source: Source, tensor: np.ndarray, shape: tuple[int, ...], heads: int, new_order: bool) -> np.ndarray:
    """Return the parameter of `shape`, float32, that is in a tensor of the shape `tensor_shape`.

    The rows of a qkv are [3, heads, channels] in the new order, and [heads, 3, channels] in the old one. Of more channels of the output
    than `shape` has, the first are taken. Raises BadInput, naming the tensor, unless its numbers are floats and finite.
    """
    if source.part is not None:
        rows = tensor.reshape(-1, *tensor.shape[1:2])
        rows = rows.reshape((3, heads, -1, *rows.shape[1:]) if new_order else (heads, 3, -1, *rows.shape[1:]))
        tensor = np.take(rows, source.part, axis=0 if new_order else 1)
        tensor = tensor.reshape(-1, *tensor.shape[2:])
    elif source.name.startswith("out.2."):
        tensor = tensor[: shape[-1]]
    if len(shape) == 4:
        tensor = tensor.transpose(2, 3, 1, 0)
    elif len(shape) == 2:
        tensor = tensor.reshape(shape[::-1]).T
    # A copy always: the tensor may be a view of the file.
    found = np.array(tensor, np.float32, order="C").reshape(shape)
    if not np.all(np.isfinite(found)):
        raise BadInput(f"{shortened(source.name)} has numbers that are not finite; fetch the file again")
    return found
