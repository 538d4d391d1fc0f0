"""config.model -> networks."""

import math
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from sde_vae.errors import BadInput, choose
from sde_vae.nets.encoder import Encoder, HalfUNet
from sde_vae.nets.layers import group_count
from sde_vae.nets.network import Network, network
from sde_vae.nets.unet import UNet
from sde_vae.nets.unet2d import UNet2D
from sde_vae.nets.unet2d_options import UNet2DOptions

Shape = tuple[int, int, int]

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def unet_fields(config: ConfigDict, name: str, shape: Shape) -> dict[str, Any]:
    """The fields of a U-Net."""
    dtype = choose("config.model.dtype", config.model.dtype, DTYPES)
    return net_fields(config, name, shape) | {"dropout": config.model[name].dropout, "dtype": dtype}


def unet2d(config: ConfigDict, shape: Shape) -> UNet2D:
    """Return the network of diffusers' UNet2DModel at the widths of config.model.prior, with the other options of its training script.

    Its groups divide the channels of every block. Attention is at the image sizes that the config lists, and in the middle.
    """
    net = net_fields(config, "prior", shape)
    widths = tuple(net["channels"] * multiplier for multiplier in net["multipliers"])
    attends = [min(shape[:2]) // 2**i in net["attention"] for i in range(len(widths))]
    heads = 8 if all(width % 8 == 0 for width in widths) else None
    options = UNet2DOptions(
        sample_size=shape[0] if shape[0] == shape[1] else shape[:2],
        in_channels=shape[2],
        out_channels=shape[2],
        time_embedding_type="log_snr",
        down_block_types=tuple("AttnDownBlock2D" if at else "DownBlock2D" for at in attends),
        up_block_types=tuple("AttnUpBlock2D" if at else "UpBlock2D" for at in reversed(attends)),
        block_out_channels=widths,
        layers_per_block=net["blocks"],
        dropout=config.model.prior.dropout,
        attention_head_dim=heads,
        norm_num_groups=group_count(math.gcd(*widths)),
        add_attention=bool(net["attention"]),
    )
    return UNet2D(options, choose("config.model.dtype", config.model.dtype, DTYPES))


# Each takes (config, shape).
PRIOR_BODIES = {"unet": lambda config, shape: UNet(**unet_fields(config, "prior", shape)), "unet2d": unet2d}


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
