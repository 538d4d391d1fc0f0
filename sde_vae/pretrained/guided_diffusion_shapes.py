"""Names and shapes of a state dict of guided-diffusion (arXiv:2105.05233) -> the options of UNet2D.

A block that halves by averages has the names and shapes of any other block, so that the sizes are counted on the way up, where a block
that doubles is the second or third module of its output block.
"""

import re
from collections.abc import Mapping

from sde_vae.errors import BadInput, shortened
from sde_vae.nets.unet2d_options import UNet2DOptions, attended, check_options
from sde_vae.pretrained.diffusers_config import LAYERS, LEVELS
from sde_vae.pretrained.guided_diffusion_presets import Settings

Shapes = Mapping[str, tuple[int, ...]]
_numbered = re.compile(r"(input_blocks|output_blocks)\.(\d{1,4})\.")


def options_of(shapes: Shapes, where: str) -> UNet2DOptions:
    """Return the options that the shapes tell: all but attention_head_dim and sample_size.

    Raises BadInput, which begins with `where` and names the tensor, for a network that UNet2D cannot be.
    """
    if any(name.startswith("label_emb.") for name in shapes):
        raise BadInput(f"{where}: label_emb: the network takes classes, expected an unconditional model")
    inputs, outputs = (_count(shapes, side) for side in ("input_blocks", "output_blocks"))
    doubling = [i for i in range(outputs) if _doubles(shapes, i)]
    levels = len(doubling) + 1
    blocks = outputs // levels - 1
    expected = [(blocks + 1) * (i + 1) - 1 for i in range(levels - 1)]
    if (
        not (1 <= blocks <= LAYERS and levels <= LEVELS)
        or outputs != levels * (blocks + 1)
        or inputs != outputs
        or doubling != expected
    ):
        raise BadInput(
            f"{where}: {inputs} input_blocks and {outputs} output_blocks, of which {shortened(str(doubling))} double the size; expected "
            f"as many blocks at each size, 1 to {LAYERS}, and at most {LEVELS} sizes"
        )
    width = lambda name: _shape(shapes, name, where)[0]
    channels = tuple(width(f"input_blocks.{1 + i * (blocks + 1)}.0.out_layers.3.weight") for i in range(levels))
    time_width, sinusoids = _matrix(shapes, "time_embed.0.weight", where)
    if width("input_blocks.0.0.weight") != channels[0] or sinusoids != channels[0]:
        raise BadInput(
            f"{where}: time_embed.0.weight takes {sinusoids} sinusoids and input_blocks.0.0.weight gives "
            f"{width('input_blocks.0.0.weight')} channels; expected both {channels[0]}, the channels of the first size"
        )
    image = _shape(shapes, "input_blocks.0.0.weight", where)
    down = [
        _attends(shapes, "input_blocks", range(1 + i * (blocks + 1), (i + 1) * (blocks + 1)), where)
        for i in range(levels)
    ]
    up = [
        _attends(shapes, "output_blocks", range(i * (blocks + 1), (i + 1) * (blocks + 1)), where) for i in range(levels)
    ]
    halves_by_conv = f"input_blocks.{blocks + 1}.0.op.weight" in shapes
    resample = "conv" if halves_by_conv else "resnet"
    plain = "" if halves_by_conv else "Resnet"
    scaled = width("middle_block.0.emb_layers.1.weight") == 2 * width("middle_block.0.out_layers.0.weight")
    return UNet2DOptions(
        in_channels=image[1] if len(image) == 4 else 0,
        out_channels=image[1] if len(image) == 4 else 0,
        time_embedding_dim=time_width,
        down_block_types=tuple(
            "AttnDownBlock2D" if a else f"{plain}{'Downsample' if plain else 'Down'}Block2D" for a in down
        ),
        up_block_types=tuple("AttnUpBlock2D" if a else f"{plain}{'Upsample' if plain else 'Up'}Block2D" for a in up),
        block_out_channels=channels,
        layers_per_block=blocks,
        downsample_type=resample,
        upsample_type=resample,
        attention_head_dim=None,
        attn_norm_num_groups=32,
        resnet_time_scale_shift="scale_shift" if scaled else "default",
        add_attention="middle_block.1.qkv.weight" in shapes,
    )


def with_heads(options: UNet2DOptions, settings: Settings, where: str) -> UNet2DOptions:
    """Return the options with the heads and the size that the settings say.

    Raises BadInput if the heads do not divide the channels, or if they differ in their channels between the sizes.
    """
    places = sorted(set(attended(options)))
    each = settings.num_head_channels
    if each is None and settings.num_heads > 1:
        if len(places) > 1:
            raise BadInput(
                f"{where}: {settings.num_heads} heads of attention over {places} channels differ in their channels; expected one number of "
                "channels for all heads, which is what UNet2D has"
            )
        if any(c % settings.num_heads for c in places):
            raise BadInput(f"{where}: {settings.num_heads} heads do not divide the channels of the attention, {places}")
        each = places[0] // settings.num_heads if places else None
    if each is not None and any(c % each for c in places):
        raise BadInput(f"{where}: heads of {each} channels do not divide the channels of the attention, {places}")
    found = options._replace(attention_head_dim=each, sample_size=settings.image_size or None)
    check_options(found, where)
    least = 2 ** (len(options.block_out_channels) - 1)
    if settings.image_size % least:
        raise BadInput(f"{where}: image_size is {settings.image_size}, expected a multiple of {least}")
    return found


def _count(shapes: Shapes, side: str) -> int:
    return len({found[2] for found in map(_numbered.match, shapes) if found and found[1] == side})


def _doubles(shapes: Shapes, block: int) -> bool:
    """Return whether an output block ends with one that doubles the size."""
    modules = [f"output_blocks.{block}.{i}" for i in (1, 2)]
    return any(f"{m}.{part}.weight" in shapes for m in modules for part in ("in_layers.0", "conv"))


def _attends(shapes: Shapes, side: str, blocks: range, where: str) -> bool:
    """Return whether the blocks of a size have attention. Raises BadInput, naming two of them, if only some do."""
    has = {i: f"{side}.{i}.1.qkv.weight" in shapes for i in blocks}
    if len(set(has.values())) > 1:
        yes, no = (next(i for i in blocks if has[i] is kind) for kind in (True, False))
        raise BadInput(
            f"{where}: {side}.{yes} has attention and {side}.{no} of the same size has none; expected all blocks of a size alike"
        )
    return has[blocks[0]]


def _shape(shapes: Shapes, name: str, where: str) -> tuple[int, ...]:
    if not shapes.get(name):
        raise BadInput(f"{where}: {name} is missing, expected the names of guided-diffusion")
    return shapes[name]


def _matrix(shapes: Shapes, name: str, where: str) -> tuple[int, int]:
    if len(shape := _shape(shapes, name, where)) != 2:
        raise BadInput(f"{where}: {name} has the shape {[*shape]}, expected a matrix")
    return shape[0], shape[1]
