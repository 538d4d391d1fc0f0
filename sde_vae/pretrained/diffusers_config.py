"""config.json of a diffusers UNet2DModel -> the options of UNet2D, and what was assumed."""

from typing import Any

from sde_vae.errors import BadInput, shortened
from sde_vae.nets.unet2d_options import UNet2DOptions, check_options, options_from
from sde_vae.pretrained.json_files import BOOLEAN, NUMBER, TEXT, Kind, either, list_of, or_null, require, whole

MODEL = "UNet2DModel"
COUNT = whole(0, 1_000_000)
# At most so many sizes and blocks a size: the network is traced before the weights are read.
LEVELS, LAYERS = 16, 64
NAMES = list_of(TEXT, 1, LEVELS)
KINDS: dict[str, Kind] = {
    "sample_size": or_null(either(whole(1, 65_536), list_of(whole(1, 65_536), 2, 2))),
    "in_channels": whole(1, 65_536),
    "out_channels": whole(1, 65_536),
    "center_input_sample": BOOLEAN,
    "time_embedding_type": TEXT,
    "time_embedding_dim": or_null(COUNT),
    "freq_shift": NUMBER,
    "flip_sin_to_cos": BOOLEAN,
    "down_block_types": NAMES,
    "mid_block_type": or_null(TEXT),
    "up_block_types": NAMES,
    "block_out_channels": list_of(whole(1, 1_000_000), 1, LEVELS),
    "layers_per_block": whole(1, LAYERS),
    "mid_block_scale_factor": NUMBER,
    "downsample_padding": COUNT,
    "downsample_type": or_null(TEXT),
    "upsample_type": or_null(TEXT),
    "dropout": NUMBER,
    "act_fn": TEXT,
    "attention_head_dim": or_null(COUNT),
    "norm_num_groups": COUNT,
    "attn_norm_num_groups": or_null(COUNT),
    "norm_eps": NUMBER,
    "resnet_time_scale_shift": TEXT,
    "add_attention": BOOLEAN,
    "num_train_timesteps": or_null(COUNT),
}
# Options that old files lack because they came later. Their defaults are what every earlier version did.
LATER = {
    "time_embedding_dim",
    "mid_block_type",
    "downsample_type",
    "upsample_type",
    "dropout",
    "attn_norm_num_groups",
    "resnet_time_scale_shift",
    "add_attention",
    "num_train_timesteps",
}
# The state of the average, which diffusers' EMAModel writes among the options.
OF_AVERAGE = ("decay", "min_decay", "optimization_step", "update_after_step", "use_ema_warmup", "inv_gamma", "power")
# What the network depends on and we do not have: refused unless it is null.
REFUSED = ("class_embed_type", "num_class_embeds")


def read_options(config: dict[str, Any], where: str) -> tuple[UNet2DOptions, tuple[str, ...]]:
    """Return (the options, what was assumed). Raises BadInput, naming the file `where` and the option, for one that we do not have."""
    if (name := config.get("_class_name")) != MODEL:
        raise BadInput(
            f"{where}: _class_name is {shortened(repr(name), 80)}, expected {MODEL!r}; no other network is read"
        )
    for name in REFUSED:
        if config.get(name) is not None:
            raise BadInput(
                f"{where}: {name} is {shortened(repr(config[name]), 80)}, expected null: the prior has no classes"
            )
    given = {name: value for name, value in config.items() if name in KINDS}
    for name, value in given.items():
        require(where, name, value, KINDS[name])
    options = options_from(given | _as_diffusers_reads(given))
    if options.time_embedding_type == "log_snr":
        raise BadInput(
            f"{where}: time_embedding_type is 'log_snr', expected one of diffusers': positional, fourier, learned"
        )
    check_options(options, where)
    if options.out_channels != options.in_channels:
        raise BadInput(
            f"{where}: out_channels is {options.out_channels}, expected in_channels, {options.in_channels}: a learned variance is not read"
        )
    return options, tuple(_assumed(given, options) + _ignored(config, where))


def _as_diffusers_reads(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that diffusers reads in more than one form."""
    blocks = {
        name: [block.removeprefix("UNetRes") for block in given[name]]
        for name in ("down_block_types", "up_block_types")
        if name in given
    }
    defaults = {name: "conv" for name in ("downsample_type", "upsample_type") if given.get(name, "") is None}
    return blocks | defaults | ({"act_fn": given["act_fn"].lower()} if "act_fn" in given else {})


def _assumed(given: dict[str, Any], options: UNet2DOptions) -> list[str]:
    """Return one line about the options that the file lacks, or none."""
    absent = {name: value for name, value in options._asdict().items() if name not in LATER | given.keys()}
    listed = ", ".join(f"{name} {_shown(value)}" for name, value in absent.items())
    return [f"config.json lacks options; diffusers' defaults of today are taken: {listed}"] if absent else []


def _ignored(config: dict[str, Any], where: str) -> list[str]:
    """Return one line about the options that we do not know and that are off, or none. Raises BadInput for one that is on."""
    known = {*KINDS, *REFUSED, *OF_AVERAGE}
    unknown = [name for name in config if name not in known and not name.startswith("_")]
    for name in unknown:
        if config[name] is not None and config[name] is not False:
            raise BadInput(
                f"{where}: unknown option {shortened(name, 80)} = {shortened(repr(config[name]), 80)}; remove it if the network does not "
                "depend on it"
            )
    return [f"config.json has options that are not known and off: {shortened(', '.join(unknown))}"] if unknown else []


def _shown(value: object) -> str:
    return "null" if value is None else str(value)
