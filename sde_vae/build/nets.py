"""config.model -> networks."""

from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from sde_vae.errors import BadInput, choose
from sde_vae.nets.encoder import Encoder, HalfUNet
from sde_vae.nets.network import Network, network

Shape = tuple[int, int, int]

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def unet_fields(config: ConfigDict, name: str, shape: Shape) -> dict[str, Any]:
    """The fields of a U-Net."""
    dtype = choose("config.model.dtype", config.model.dtype, DTYPES)
    return net_fields(config, name, shape) | {"dropout": config.model[name].dropout, "dtype": dtype}


def build_encoder(config: ConfigDict, shape: Shape, latent: int, more_channels: int = 0) -> Network:
    body = HalfUNet(**net_fields(config, "encoder", shape), dropout=config.model.encoder.dropout)
    seen = (*shape[:-1], shape[-1] + more_channels)
    return network(Encoder(body, latent, config.model.log_var_bound), seen)


def net_fields(config: ConfigDict, name: str, shape: Shape) -> dict[str, Any]:
    """The fields that all image networks share. Raises BadInput if the image does not halve often enough."""
    net, (height, width, _) = config.model[name], shape
    halvings = len(net.multipliers) - 1
    for side, size in (("height", height), ("width", width)):
        if size % 2**halvings:
            got = f"{size}, which" if height == width else f"{(height, width)}, whose {side} {size}"
            raise BadInput(
                f"config.data.image_size: got {got} config.model.{name}.multipliers halve {halvings} times; "
                f"it must be a multiple of {2**halvings}"
            )
    return {
        "channels": net.channels,
        "multipliers": tuple(net.multipliers),
        "blocks": net.blocks,
        "attention": tuple(net.attention),
    }
