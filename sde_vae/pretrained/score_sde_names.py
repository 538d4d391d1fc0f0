"""The tensors of score_sde's two kinds of files, as parameters of our network.

A Flax file has our names. A PyTorch file numbers the layers in the order of their call ("all_modules.3.Conv_0.weight"), and has the axes of
convolutions and dense layers in PyTorch's order.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from sde_vae.errors import BadInput
from sde_vae.nets.score_sde import parameters_of
from sde_vae.nets.score_sde_options import ScoreSDEOptions
from sde_vae.types import Params

Path = tuple[str, ...]
Shape = tuple[int, ...]

TORCH_LEAVES = {"kernel": "weight", "scale": "weight"}
# Axes of PyTorch in our order: convolutions [out, in, h, w] -> [h, w, in, out], and dense layers [out, in] -> [in, out].
AXES = {4: (2, 3, 1, 0), 2: (1, 0)}
# The parameter of the Fourier features, which is not trained: PyTorch's averages lack it.
FOURIER = re.compile(r"all_modules\.\d+\.W")


class Source(NamedTuple):
    """Where a parameter is in a file.

    name    the tensor's name
    axes    the tensor's axes in our order; () for the same order
    shape   the shape that the tensor has in the file
    """

    name: str
    axes: tuple[int, ...]
    shape: Shape


Sources = dict[Path, Source]


def flax_sources(options: ScoreSDEOptions) -> Sources:
    """Return the source of each parameter in a Flax file."""
    return {path: Source("/".join(path), (), shape) for path, shape in parameters_of(options).shapes.items()}


def torch_sources(options: ScoreSDEOptions) -> Sources:
    """Return the source of each parameter in a PyTorch file.

    >>> torch_sources(ScoreSDEOptions("ddpm", 8, nf=32, ch_mult=(1,)))[("Dense_0", "kernel")]
    Source(name='all_modules.0.weight', axes=(1, 0), shape=(128, 32))
    """
    shapes, layers = parameters_of(options)
    number = {layer: n for n, layer in enumerate(layers)}
    found = {}
    for (layer, *inner, leaf), shape in shapes.items():
        name = ".".join(("all_modules", str(number[layer]), *inner, TORCH_LEAVES.get(leaf, leaf)))
        axes = AXES.get(len(shape), ()) if leaf in ("kernel", "weight") else ()
        # The inverse of the permutation: axis axes[i] of the file is axis i of ours.
        in_file = [shape[axes.index(i)] for i in range(len(shape))] if axes else shape
        found[layer, *inner, leaf] = Source(name, axes, tuple(in_file))
    return found


def misfit(sources: Sources, shapes: Mapping[str, Shape]) -> str:
    """Return in what the tensors of a file differ from those of a network, or ""."""
    for source in sources.values():
        if source.name not in shapes:
            return f"it has no tensor {source.name}, which should have the shape {source.shape}"
        if not _same(shapes[source.name], source.shape):
            return f"the tensor {source.name} has the shape {shapes[source.name]}, and should have {source.shape}"
    more = sorted(set(shapes) - {source.name for source in sources.values()})
    return f"it has a tensor {more[0]}, which should not be there" if more else ""


def converted(sources: Sources, arrays: Mapping[str, np.ndarray], where: str) -> Params:
    """Return the tensors as parameters in float32, converted one after another.

    Raises BadInput, which begins with `where` and names the tensor, if one is missing, misshapen or too many, or has a value that is not
    finite.
    """
    if found := misfit(sources, {name: array.shape for name, array in arrays.items()}):
        raise BadInput(f"{where}: {found}")
    params: dict[str, Any] = {}
    for path, source in sources.items():
        array = arrays[source.name].reshape(source.shape)
        array = np.array(array.transpose(source.axes) if source.axes else array, np.float32, order="C")
        if not np.all(np.isfinite(array)):
            raise BadInput(f"{where}: the tensor {source.name} has values that are not finite")
        within = params
        for name in path[:-1]:
            within = within.setdefault(name, {})
        within[path[-1]] = jnp.asarray(array)
    return params


def _same(found: Shape, expected: Shape) -> bool:
    """Whether a shape is the expected one, but for axes of length 1 before it: Flax up to 0.3.4 had norms of [1, 1, 1, C]."""
    return found == expected or (len(expected) == 1 and found == (1, 1, 1, *expected))
