"""Images as arrays of patches: a network then computes at fewer places, with more channels at its input and its output.

A patch of p x p pixels becomes one place with p * p as many channels, which is known as space-to-depth or pixel unshuffle
(arXiv:1609.05158). Diffusion models of large images start with it (arXiv:2301.11093): at full size the first blocks of a U-Net are
most of its cost, with few channels.
"""

from typing import Any

import jax

from sde_vae.nets.layers import Images
from sde_vae.nets.network import Network, Shape
from sde_vae.types import Params


def space_to_depth(x: Images, patch: int) -> Images:
    """Return [batch, H, W, C] as patches: [batch, H / patch, W / patch, C * patch ** 2]."""
    b, h, w, c = x.shape
    grid = x.reshape(b, h // patch, patch, w // patch, patch, c).transpose(0, 1, 3, 2, 4, 5)
    return grid.reshape(b, *depth_shape((h, w, c), patch))


def depth_to_space(x: Images, patch: int) -> Images:
    """Return patches [batch, h, w, C * patch ** 2] as images [batch, h * patch, w * patch, C]: the inverse of `space_to_depth`.

    >>> x = jax.numpy.arange(32.0).reshape(1, 4, 4, 2)
    >>> bool((depth_to_space(space_to_depth(x, 2), 2) == x).all())
    True
    """
    b, h, w, c = x.shape
    grid = x.reshape(b, h, w, patch, patch, c // patch**2).transpose(0, 1, 3, 2, 4, 5)
    return grid.reshape(b, h * patch, w * patch, c // patch**2)


def depth_shape(shape: Shape, patch: int) -> tuple[int, int, int]:
    """Return the shape of an image [H, W, C] as patches.

    >>> depth_shape((28, 28, 1), 2)
    (14, 14, 4)
    """
    height, width, channels = shape
    return height // patch, width // patch, channels * patch**2


def takes_patches(network: Network, patch: int) -> Network:
    """Return a network of images, given one whose first input is their patches. A patch of one pixel leaves it as it is."""
    if patch == 1:
        return network

    def apply(params: Params, x: Images, *inputs: Any, **more: Any) -> Any:
        return network.apply(params, space_to_depth(x, patch), *inputs, **more)

    return Network(network.init, apply)


def gives_patches(network: Network, patch: int) -> Network:
    """Return a network to images, given one whose outputs are their patches. A patch of one pixel leaves it as it is."""
    if patch == 1:
        return network

    def apply(params: Params, *inputs: Any, **more: Any) -> Any:
        return jax.tree.map(lambda y: depth_to_space(y, patch), network.apply(params, *inputs, **more))

    return Network(network.init, apply)


def patched(network: Network, patch: int) -> Network:
    """Return a network from images to images, given one from patches to patches."""
    return takes_patches(gives_patches(network, patch), patch)
