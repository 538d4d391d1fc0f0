"""The names and layouts of diffusers' tensors, and of the parameters of UNet2D: a mapping of one to the other and back.

A tensor `down_blocks.0.resnets.1.conv1.weight` is the parameter (down_blocks_0, resnets_1, conv1, kernel). Kernels of convolutions are
OIHW there and HWIO here, and matrices are transposed.
"""

import re
from collections.abc import Mapping

import numpy as np

from sde_vae.errors import BadInput, shortened

Path = tuple[str, ...]

# The lists of diffusers' modules: the number in a list is a name of its own there, and belongs to the name of the list here.
LISTS = ("down_blocks", "up_blocks", "resnets", "attentions", "downsamplers", "upsamplers", "to_out")
# The attention of files before diffusers 0.17 (May 2023).
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

_numbered = re.compile(f"({'|'.join(LISTS)})_(\\d+)")


def tensor_name(path: Path) -> str:
    """Return diffusers' name of the parameter at `path` of UNet2D.

    >>> tensor_name(("mid_block", "attentions_0", "to_out_0", "kernel")), tensor_name(("time_embedding", "linear_1", "bias"))
    ('mid_block.attentions.0.to_out.0.weight', 'time_embedding.linear_1.bias')
    """
    *modules, leaf = (_numbered.sub(r"\1.\2", part) for part in path)
    return ".".join([*modules, "bias" if leaf == "bias" else "weight"])


def found_name(path: Path, names: Mapping[str, object]) -> str | None:
    """Return the name of the parameter at `path` among `names`, today's or the old one of an attention, or None."""
    name = tensor_name(path)
    old = re.sub(r"(to_[qkv]|to_out\.0)(?=\.\w+$)", lambda found: OLD_NAMES[found[1]], name)
    return next((one for one in (name, old) if one in names), None)


def to_parameter(name: str, tensor: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the parameter of `shape` that a tensor is, in float32. Raises BadInput, naming the tensor, if it has another shape."""
    expected = tensor_shape(name, shape)
    given = tensor.shape
    # The attention of old files may be a 1x1 convolution.
    if len(expected) == 2 and given[:2] == expected and set(given[2:]) <= {1}:
        tensor = tensor.reshape(expected)
    if tensor.shape != expected or not (np.issubdtype(tensor.dtype, np.floating) or tensor.dtype.name == "bfloat16"):
        raise BadInput(
            f"{shortened(name)}: a tensor {tensor.dtype.name}{[*given]}, expected a float one {[*expected]} by the options of the network"
        )
    # A copy always: the tensor may be a view of the file.
    return np.array(tensor.transpose(_axes(name, len(expected), (2, 3, 1, 0))), np.float32, order="C")


def to_tensor(name: str, parameter: np.ndarray) -> np.ndarray:
    """Return the tensor that a parameter is: the inverse of `to_parameter`.

    >>> to_tensor("conv_in.weight", np.zeros((3, 3, 1, 8), np.float32)).shape
    (8, 1, 3, 3)
    """
    return np.ascontiguousarray(parameter.transpose(_axes(name, parameter.ndim, (3, 2, 0, 1))), dtype=np.float32)


def tensor_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the tensor of a parameter of `shape`."""
    return tuple(shape[axis] for axis in _axes(name, len(shape), (3, 2, 0, 1)))


def _axes(name: str, rank: int, convolution: tuple[int, ...]) -> tuple[int, ...]:
    """Return the order of the axes. A matrix is transposed, unless it is a table of time, which is not a layer."""
    if rank == 4:
        return convolution
    return (1, 0) if rank == 2 and name != "time_proj.weight" else tuple(range(rank))
