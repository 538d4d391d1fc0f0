"""config.model -> networks: U-Nets for images and other arrays [H, W, C], MLPs for vectors and time series."""

import math
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from sde_vae.build.fields import ARRAYS, HAS_LABELS
from sde_vae.errors import BadInput, choose
from sde_vae.nets.decoder import Decoder, MLPDecoder
from sde_vae.nets.encoder import Encoder, HalfUNet
from sde_vae.nets.head import CorrectionHead
from sde_vae.nets.layers import group_count
from sde_vae.nets.mlp import MLP, MLPFeatures
from sde_vae.nets.network import Network, mapping, network, reshaped
from sde_vae.nets.unet import UNet, UNetFeatures
from sde_vae.nets.unet2d import UNet2D
from sde_vae.nets.unet2d_options import UNet2DOptions

Shape = tuple[int, ...]

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
# What bounds, likelihoods and the gradient of an encoder are computed in.
EXACT = {"model.dtype": "float32", "model.precision": "highest"}


def is_image(shape: Shape) -> bool:
    """Return whether examples of this shape have U-Nets: [H, W, C] has, a vector [d] or a time series [length, channels] has not."""
    return len(shape) == 3


def build_score_network(config: ConfigDict, name: str, shape: Shape, zero: bool = True, latent: int = 0) -> Network:
    """Return the network of config.model.NAME that maps x_t to noise or velocity; given a `latent`, one that takes z too."""
    more = {"z": (latent,)} if latent else {}
    if is_image(shape):
        net = UNet(**unet_fields(config, name, shape), zero=zero)
        return network(net, shape, config.model.precision, **more)
    net = MLP(math.prod(shape), *mlp_size(config, name), zero=zero)
    return reshaped(network(net, shape, config.model.precision, **more), shape)


def build_image_network(
    config: ConfigDict, name: str, shape: Shape, outputs: int, zero: bool = True, latent: int = 0, exact: bool = False
) -> Network:
    """Return the U-Net of config.model.NAME from images of one shape to images of the same size with `outputs` channels.

    An `exact` one computes as EXACT says, whatever the config.
    """
    more = {"z": (latent,)} if latent else {}
    of = unet_fields(config, name, shape) | ({"dtype": DTYPES[EXACT["model.dtype"]]} if exact else {})
    precision = EXACT["model.precision"] if exact else config.model.precision
    return network(UNet(**of, zero=zero, outputs=outputs), shape, precision, **more)


def build_encoder(config: ConfigDict, shape: Shape, latent: int, more_channels: int = 0) -> Network:
    """Return the encoder, which takes so many more channels than the data have."""
    if is_image(shape):
        body = HalfUNet(**net_fields(config, "encoder", shape), dropout=config.model.encoder.dropout)
    else:
        body = MLPFeatures(*mlp_size(config, "encoder"))
    seen = (*shape[:-1], shape[-1] + more_channels)
    return network(Encoder(body, latent, config.model.log_var_bound), seen)


def build_decoder_network(config: ConfigDict, shape: Shape) -> Network:
    """Return the decoder p(x_0 | z) of a VAE."""
    likelihood, bound = config.model.likelihood, config.model.log_var_bound
    own = {
        "shape": shape,
        "log_var": likelihood.log_var,
        "learn_log_var": likelihood.learn_log_var,
        "log_var_bound": bound,
    }
    body = (
        Decoder(**net_fields(config, "decoder", shape), **own)
        if is_image(shape)
        else MLPDecoder(*mlp_size(config, "decoder"), **own)
    )
    return mapping(body, (config.model.latent_dim,))


def build_head(config: ConfigDict, shape: Shape) -> tuple[Network, Network]:
    """Return (the prior's features, a correction head on them), for parameters of the prior and of the head."""
    net, z, precision = config.model.correction, (config.model.latent_dim,), config.model.precision
    if is_image(shape):
        # Of the prior's last block: what its one remaining convolution makes the noise of.
        features = (*shape[:-1], config.model.prior.channels * config.model.prior.multipliers[0])
        head = network(CorrectionHead(net.channels, net.blocks, shape[-1], net.dropout), features, precision, z=z)
        return network(UNetFeatures(**unet_fields(config, "prior", shape)), shape, precision), head
    head = MLP(math.prod(shape), *mlp_size(config, "correction"), zero=False)
    body = network(MLPFeatures(*mlp_size(config, "prior")), shape, precision)
    return body, reshaped(network(head, (config.model.prior.channels,), precision, z=z), shape)


def mlp_size(config: ConfigDict, name: str) -> tuple[int, int]:
    """The width and the number of blocks of an MLP."""
    return config.model[name].channels, config.model[name].blocks


def unet_fields(config: ConfigDict, name: str, shape: Shape) -> dict[str, Any]:
    """The fields of a U-Net."""
    dtype = choose("config.model.dtype", config.model.dtype, DTYPES)
    return net_fields(config, name, shape) | {"dropout": config.model[name].dropout, "dtype": dtype}


def net_fields(config: ConfigDict, name: str, shape: Shape) -> dict[str, Any]:
    """The fields that all image networks share. Raises BadInput if the image does not halve often enough."""
    net, (height, width, _) = config.model[name], shape
    halvings = len(net.multipliers) - 1
    for side, size in (("height", height), ("width", width)):
        if size % 2**halvings:
            got = f"{size}, which" if height == width else f"{(height, width)}, whose {side} {size}"
            field = "shape" if config.data.name == ARRAYS else "image_size"
            raise BadInput(
                f"config.data.{field}: got {got} config.model.{name}.multipliers halve {halvings} times; "
                f"it must be a multiple of {2**halvings}"
            )
    return {
        "channels": net.channels,
        "multipliers": tuple(net.multipliers),
        "blocks": net.blocks,
        "attention": tuple(net.attention),
    }


def unet2d(config: ConfigDict, shape: Shape) -> UNet2D:
    """Return the network of diffusers' UNet2DModel at the widths of config.model.prior, with the other options of its training script.

    Its groups divide the channels of every block. Attention is at the image sizes that the config lists, and in the middle.
    """
    if not is_image(shape):
        raise BadInput(f"config.model.prior.body: got unet2d, expected unet: data of shape {shape} have MLPs")
    net = net_fields(config, "prior", shape)
    widths = tuple(net["channels"] * multiplier for multiplier in net["multipliers"])
    attends = [min(shape[:2]) // 2**i in net["attention"] for i in range(len(widths))]
    heads = 8 if all(width % 8 == 0 for width in widths) else None
    options = UNet2DOptions(
        sample_size=shape[0] if shape[0] == shape[1] else (shape[0], shape[1]),
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


def _prior_unet(config: ConfigDict, shape: Shape) -> Network:
    """Our U-Net or MLP; a prior with labels takes them as a one-hot latent."""
    classes = config.labels.classes if HAS_LABELS.holds(config) else 0
    return build_score_network(config, "prior", shape, latent=classes)


def _prior_unet2d(config: ConfigDict, shape: Shape) -> Network:
    if HAS_LABELS.holds(config):
        got = f"config.labels.attribute: got {config.labels.attribute!r}"
        raise BadInput(f"{got}, but config.model.prior.body=unet2d takes no labels; take unet, or leave it empty")
    return network(unet2d(config, shape), shape, config.model.precision)


# Each takes (config, shape).
PRIOR_BODIES = {"unet": _prior_unet, "unet2d": _prior_unet2d}
