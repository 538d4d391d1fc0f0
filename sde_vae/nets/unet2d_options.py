"""The options of diffusers' UNet2DModel, by their names there, and which of their values we know."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sde_vae.errors import BadInput, shortened

# name -> (has self-attention, how it resamples: None takes downsample_type or upsample_type)
DOWN_BLOCKS: dict[str, tuple[bool, str | None]] = {
    "DownBlock2D": (False, "conv"),
    "AttnDownBlock2D": (True, None),
    "ResnetDownsampleBlock2D": (False, "resnet"),
}
UP_BLOCKS: dict[str, tuple[bool, str | None]] = {
    "UpBlock2D": (False, "conv"),
    "AttnUpBlock2D": (True, None),
    "ResnetUpsampleBlock2D": (False, "resnet"),
}
CHOICES: dict[str, tuple[object, ...]] = {
    "time_embedding_type": ("positional", "fourier", "learned", "log_snr"),
    "mid_block_type": ("UNetMidBlock2D", None),
    "downsample_padding": (0, 1),
    "downsample_type": ("conv", "resnet"),
    "upsample_type": ("conv", "resnet"),
    "act_fn": ("silu", "swish", "mish", "gelu", "relu"),
    "resnet_time_scale_shift": ("default", "scale_shift"),
}


class UNet2DOptions(NamedTuple):
    """The options of `UNet2D`, with the names and the defaults of diffusers' UNet2DModel 0.42.

    `time_embedding_type` has one value that diffusers lacks: "log_snr", for networks that are trained here. It takes logSNR instead of a
    step of a schedule. `num_train_timesteps` is the number of rows of a "learned" table.
    """

    sample_size: int | tuple[int, int] | None = None
    in_channels: int = 3
    out_channels: int = 3
    center_input_sample: bool = False
    time_embedding_type: str = "positional"
    time_embedding_dim: int | None = None
    freq_shift: float = 0
    flip_sin_to_cos: bool = True
    down_block_types: tuple[str, ...] = ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D")
    mid_block_type: str | None = "UNetMidBlock2D"
    up_block_types: tuple[str, ...] = ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D")
    block_out_channels: tuple[int, ...] = (224, 448, 672, 896)
    layers_per_block: int = 2
    mid_block_scale_factor: float = 1
    downsample_padding: int = 1
    downsample_type: str = "conv"
    upsample_type: str = "conv"
    dropout: float = 0.0
    act_fn: str = "silu"
    attention_head_dim: int | None = 8
    norm_num_groups: int = 32
    attn_norm_num_groups: int | None = None
    norm_eps: float = 1e-5
    resnet_time_scale_shift: str = "default"
    add_attention: bool = True
    num_train_timesteps: int | None = None


def options_from(values: Mapping[str, Any]) -> UNet2DOptions:
    """Return the options of a mapping by name, as JSON has them: lists become tuples, and what is missing is the default.

    >>> options_from({"block_out_channels": [8, 16]}).block_out_channels
    (8, 16)
    """
    hashable: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return UNet2DOptions(**hashable)


def check_options(options: UNet2DOptions, where: str = "UNet2D") -> None:
    """Raise BadInput, which begins with `where` and names the option, unless a network can be built from the options.

    >>> check_options(UNet2DOptions(act_fn="tanh"))
    Traceback (most recent call last):
    sde_vae.errors.BadInput: UNet2D: act_fn is 'tanh', expected one of 'silu', 'swish', 'mish', 'gelu', 'relu'
    """
    channels = options.block_out_channels
    for name, known in CHOICES.items():
        _require(getattr(options, name) in known, where, options, name, f"one of {_listed(known)}")
    for name, blocks in (("down_block_types", DOWN_BLOCKS), ("up_block_types", UP_BLOCKS)):
        for block in getattr(options, name):
            if block not in blocks:
                raise BadInput(
                    f"{where}: {name} has {shortened(repr(block))}, which we do not have; known: {_listed(tuple(blocks))}"
                )
        same = len(getattr(options, name)) == len(channels)
        _require(same, where, options, name, f"{len(channels)}, one for each of block_out_channels")
    _require(bool(channels) and min(channels) > 0, where, options, "block_out_channels", "positive numbers")
    for name in ("in_channels", "out_channels", "layers_per_block"):
        _require(getattr(options, name) > 0, where, options, name, "a positive number")
    of_embedding = options.time_embedding_dim is None or options.time_embedding_dim > 0
    _require(of_embedding, where, options, "time_embedding_dim", "a positive number or null")
    _require(0 <= options.dropout < 1, where, options, "dropout", "0 or more, below 1")
    _require(options.norm_eps > 0, where, options, "norm_eps", "a positive number")
    _require(options.mid_block_scale_factor > 0, where, options, "mid_block_scale_factor", "a positive number")
    divides = options.norm_num_groups > 0 and not any(c % options.norm_num_groups for c in channels)
    _require(divides, where, options, "norm_num_groups", f"a divisor of each of block_out_channels {channels}")
    of_attention = options.attn_norm_num_groups
    divides = of_attention is None or (of_attention > 0 and channels[-1] % of_attention == 0)
    _require(divides, where, options, "attn_norm_num_groups", f"a divisor of {channels[-1]}, or null")
    head = options.attention_head_dim
    fits = head is None or 0 < head <= min(attended(options), default=head)
    _require(fits, where, options, "attention_head_dim", f"null, or 1 to {min(attended(options), default=0)} channels")
    rows = options.num_train_timesteps
    needed = options.time_embedding_type != "learned" or (rows is not None and rows > 0)
    _require(needed, where, options, "num_train_timesteps", "the number of rows of the learned time table")
    sinusoids = channels[0] // 2 - (1 if options.time_embedding_type == "log_snr" else options.freq_shift)
    wide = options.time_embedding_type not in ("positional", "log_snr") or sinusoids > 0
    _require(wide, where, options, "block_out_channels", "wider first blocks, for the sinusoids of the time")


def attended(options: UNet2DOptions) -> list[int]:
    """Return the channels at every place with self-attention."""
    pairs = (
        *zip(options.down_block_types, options.block_out_channels, strict=True),
        *zip(options.up_block_types, reversed(options.block_out_channels), strict=True),
    )
    blocks = DOWN_BLOCKS | UP_BLOCKS
    middle = options.mid_block_type is not None and options.add_attention
    return [c for block, c in pairs if blocks[block][0]] + [options.block_out_channels[-1]] * middle


def _require(met: bool, where: str, options: UNet2DOptions, name: str, expected: str) -> None:
    if not met:
        raise BadInput(f"{where}: {name} is {shortened(repr(getattr(options, name)))}, expected {expected}")


def _listed(known: tuple[object, ...]) -> str:
    return ", ".join("null" if one is None else repr(one) for one in known)
