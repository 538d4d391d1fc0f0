"""What files of guided-diffusion and its relatives do not hold: heads, their order, and the schedule. By name, or from a JSON file.

The words are the flags of guided-diffusion and improved-diffusion, so that the command that trained a model can be copied.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sde_vae.errors import BadInput, choose
from sde_vae.pretrained.diffusers_schedulers import MOST_STEPS, linear, squaredcos_cap_v2
from sde_vae.pretrained.json_files import BOOLEAN, TEXT, Kind, or_null, read_object, require, whole

FIELD = "config.prior.preset"


class Settings(NamedTuple):
    """The flags that matter and that no file holds.

    image_size               side of the images; 0 if it is not known
    num_heads                heads of every attention; num_head_channels replaces it
    num_head_channels        channels of every head, or None
    use_new_attention_order  the rows of a qkv are [3, heads, channels], and not [heads, 3, channels]
    noise_schedule           "linear" or "cosine"
    diffusion_steps          steps of the schedule
    rescale_timesteps        the network takes the step times 1000 / diffusion_steps
    predict_xstart           the network predicts x_0, and not the noise
    """

    image_size: int = 0
    num_heads: int = 1
    num_head_channels: int | None = None
    use_new_attention_order: bool = False
    noise_schedule: str = "linear"
    diffusion_steps: int = 1000
    rescale_timesteps: bool = False
    predict_xstart: bool = False


class Preset(NamedTuple):
    """The settings of a published model, and the channels and blocks that its file must have."""

    settings: Settings
    channels: tuple[int, ...]
    blocks: int


def _adm(width: int, multipliers: tuple[int, ...], blocks: int, settings: Settings) -> Preset:
    return Preset(settings, tuple(width * m for m in multipliers), blocks)


_LARGE = _adm(256, (1, 1, 2, 2, 4, 4), 2, Settings(256, num_head_channels=64))
_DIFFAE = _adm(128, (1, 1, 2, 3, 4), 2, Settings(128))
# From the pages and configs of openai/guided-diffusion and improved-diffusion, of DPS (arXiv:2209.14687) and of diffae (arXiv:2111.15640).
PRESETS: dict[str, Preset] = {
    "openai-256-uncond": _LARGE,
    "openai-lsun-bedroom": _LARGE,
    "openai-lsun-cat": _LARGE,
    "openai-lsun-horse": _LARGE,
    "ffhq-dps": _adm(128, (1, 1, 2, 2, 4, 4), 1, Settings(256, num_head_channels=64)),
    "diffae-ffhq128": _DIFFAE,
    "diffae-bedroom128": _DIFFAE,
    "diffae-horse128": _DIFFAE,
    "improved-cifar10": _adm(
        *(128, (1, 2, 2, 2), 3),
        Settings(32, 4, noise_schedule="cosine", diffusion_steps=4000, rescale_timesteps=True),
    ),
    "improved-lsun-bedroom": _adm(128, (1, 1, 2, 2, 4, 4), 2, Settings(256)),
}
KINDS: dict[str, Kind] = {
    "image_size": whole(1, 65_536),
    "num_heads": whole(1, 1024),
    "num_head_channels": or_null(whole(1, 65_536)),
    "use_new_attention_order": BOOLEAN,
    "noise_schedule": TEXT,
    "diffusion_steps": whole(2, MOST_STEPS),
    "rescale_timesteps": BOOLEAN,
    "predict_xstart": BOOLEAN,
}
NEEDED = ("noise_schedule", "diffusion_steps")


def settings_for(path: Path, preset: str, channels: tuple[int, ...], blocks: int) -> tuple[Settings, tuple[str, ...]]:
    """Return (settings, notes) for the model in the file `path`: those of `preset`, or of the file PATH.json.

    Raises BadInput, listing the presets, if there is neither, and for a preset of a network of other channels or blocks.
    """
    if preset:
        found = choose(FIELD, preset, PRESETS)
        if (found.channels, found.blocks) != (channels, blocks):
            raise BadInput(
                f"{FIELD}: {preset} has channels {found.channels} and {found.blocks} blocks a size, but {path} has {channels} and {blocks}; "
                f"give another preset, or the model's flags in {path.name}.json"
            )
        return found.settings, ()
    beside = path.with_name(f"{path.name}.json")
    if not beside.is_file():
        raise BadInput(
            f"{FIELD}: {path} does not say its heads and schedule; give one of {', '.join(sorted(PRESETS))}, or write the flags of its "
            f"training into {beside.name} beside it, such as "
            '{"image_size": 256, "num_head_channels": 64, "noise_schedule": "linear", "diffusion_steps": 1000}'
        )
    return _from_json(beside)


def _from_json(path: Path) -> tuple[Settings, tuple[str, ...]]:
    given = read_object(path)
    for name, value in given.items():
        require(str(path), name, value, choose(f"{path}: the flags", name, KINDS))
    missing = [name for name in NEEDED if name not in given]
    if "num_heads" not in given and given.get("num_head_channels") is None:
        missing.append("num_heads or num_head_channels")
    if missing:
        raise BadInput(f"{path}: no {', no '.join(missing)}; expected these of the flags {', '.join(KINDS)}")
    settings = Settings(**given)
    choose(f"{path}: noise_schedule", settings.noise_schedule, BETAS)
    absent = [name for name in KINDS if name not in given and name not in ("num_heads", "num_head_channels")]
    defaults = ", ".join(f"{name} {'unknown' if name == 'image_size' else getattr(settings, name)}" for name in absent)
    return settings, (f"{path.name} lacks flags; the defaults are taken: {defaults}",) if absent else ()


def _linear(steps: int) -> np.ndarray:
    """Return the betas of DDPM, scaled so that any number of steps ends at the same noise."""
    return linear(steps, 0.1 / steps, 20 / steps)


BETAS: dict[str, Any] = {"linear": _linear, "cosine": lambda steps: squaredcos_cap_v2(steps, 0.0, 0.0)}


def alphas_cumprod(settings: Settings) -> list[float]:
    """Return alpha-bar at the steps 0, 1, ..., computed in float64."""
    return np.cumprod(1 - BETAS[settings.noise_schedule](settings.diffusion_steps)).tolist()
