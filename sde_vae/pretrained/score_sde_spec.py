"""What a model of score_sde is: from the name of its config file, or from a JSON beside the checkpoint."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from sde_vae.errors import BadInput, choose, shortened
from sde_vae.nets.score_sde_options import ScoreSDEOptions, checked
from sde_vae.pretrained.json_files import read_object
from sde_vae.pretrained.score_sde_presets import DDPM, PRESETS, Preset
from sde_vae.pretrained.spec import PriorSpec

# Fields of score_sde's config files of which our network knows one value.
FIXED = {"resamp_with_conv": True, "normalization": "GroupNorm", "attention_type": "ddpm", "conv_size": 3}
# score_sde's times of VP SDEs end at 999 steps, however many there are.
STEPS_OF_T = 999
PRECISION = "the prior's network computes in float32, whatever config.model.dtype says"
LONGEST_LIST = 64
MOST_SCALES = 100_000


def preset_named(name: str) -> tuple[str, Preset]:
    """Return (full name, preset) of a config file of score_sde. Its last part will do if no other config has the same.

    Raises BadInput, which lists the names.

    >>> preset_named("celebahq")[0], preset_named("ve/cifar10_ddpm.py")[0]
    ('vp/ddpm/celebahq', 've/cifar10_ddpm')
    """
    name = name.removesuffix(".py").removeprefix("configs/")
    endings = [full for full in PRESETS if full.endswith(f"/{name}")]
    if name not in PRESETS and len(endings) > 1:
        raise BadInput(
            f"preset: {shortened(repr(name))} is the name of more than one config; give one of {', '.join(endings)}"
        )
    full = endings[0] if name not in PRESETS and endings else name
    return full, choose("preset", full, PRESETS)


def preset_beside(path: Path) -> Preset | None:
    """Return the preset that a JSON beside a checkpoint describes, or None if there is no such file.

    It is one object of fields of score_sde's config files: those of Preset and of ScoreSDEOptions, and `preset`, the name of a config
    from which the others differ. Raises BadInput, which names the field.
    """
    if not path.is_file():
        return None
    return preset_of(read_object(path), str(path))


def preset_of(given: dict[str, Any], where: str) -> Preset:
    """Return the preset of a dict of fields. Raises BadInput, which begins with `where` and names the field."""
    if "preset" not in given and not {"name", "image_size", "sde"} <= given.keys():
        raise BadInput(f"{where}: needs preset, or name, image_size and sde; got {shortened(', '.join(given))}")
    start = Preset(DDPM._replace(dropout=0.0), "vpsde")
    if "preset" in given:
        start = preset_named(_typed(given["preset"], "", f"{where}: preset"))[1]
    fields: dict[str, Any] = {}
    known = {**start._asdict(), **start.options._asdict(), **FIXED}
    del known["options"]
    for name, value in given.items():
        if name == "preset":
            continue
        default = choose(where, name, known)
        fields[name] = _typed(value, default, f"{where}: {name}")
        if name in FIXED and fields[name] != FIXED[name]:
            raise BadInput(f"{where}: {name}: {shortened(repr(value))} is not known; only {FIXED[name]!r} is")
    options = start.options._replace(**{k: v for k, v in fields.items() if k in ScoreSDEOptions._fields})
    preset = start._replace(options=options, **{k: v for k, v in fields.items() if k in Preset._fields})
    return _consistent(preset._replace(options=checked(options, where)), where)


def spec_of(preset: Preset, source: str, notes: tuple[str, ...]) -> PriorSpec:
    """Return the description of a model, in the units of images in [-1, 1]."""
    o = preset.options
    schedule, time = SCHEDULES[preset.sde, preset.continuous](preset)
    shape = (o.image_size, o.image_size, o.channels)
    return PriorSpec(source, "score_sde", o._asdict(), shape, "noise", schedule, time, (*notes, PRECISION))


def _vp(preset: Preset) -> tuple[dict[str, Any], Any]:
    return {"name": "vp", "beta_min": preset.beta_min, "beta_max": preset.beta_max}, {"scale": STEPS_OF_T}


def _sub_vp(preset: Preset) -> tuple[dict[str, Any], Any]:
    return {"name": "sub_vp", "beta_min": preset.beta_min, "beta_max": preset.beta_max}, {"scale": STEPS_OF_T}


def _discrete_vp(preset: Preset) -> tuple[dict[str, Any], Any]:
    n = preset.num_scales
    bars = np.cumprod(1 - np.linspace(preset.beta_min / n, preset.beta_max / n, n))
    return {"name": "discrete_vp", "alphas_cumprod": bars.tolist()}, "step"


def _ve(preset: Preset) -> tuple[dict[str, Any], Any]:
    # Images in [0, 1] are mapped to [-1, 1] by x -> 2 x - 1, which doubles their noise.
    unit = 1.0 if preset.options.centered else 2.0
    return {"name": "ve", "sigma_min": unit * preset.sigma_min, "sigma_max": unit * preset.sigma_max}, "sigma"


def _discrete_ve(preset: Preset) -> tuple[dict[str, Any], Any]:
    return _ve(preset)[0], {"levels": preset.num_scales}


SCHEDULES = {
    ("vpsde", True): _vp,
    ("vpsde", False): _discrete_vp,
    ("subvpsde", True): _sub_vp,
    ("vesde", True): _ve,
    ("vesde", False): _discrete_ve,
}


def _typed(value: Any, like: Any, where: str) -> Any:
    """Return a value of JSON as the type of `like`. Raises BadInput for another type, and for numbers that are below 0 or not finite."""
    if isinstance(like, tuple):
        fits = isinstance(value, list) and len(value) <= LONGEST_LIST
        if fits:
            return tuple(_typed(item, like[0], where) for item in value)
    elif isinstance(like, bool | str):
        if type(value) is type(like):
            return value
    elif type(value) in (int, float) and 0 <= value < 2**31 and type(like)(value) == value:
        return type(like)(value)
    kind = {bool: "true or false", str: "a text", tuple: "a list", int: "a whole number"}.get(
        type(like), "a number from 0 up"
    )
    raise BadInput(f"{where}: got {shortened(repr(value))}, expected {kind}, like {json.dumps(like)}")


def _consistent(preset: Preset, where: str) -> Preset:
    """Return the preset. Raises BadInput for a combination that score_sde does not have either."""
    o = preset.options
    choose(f"{where}: sde", preset.sde, dict.fromkeys(sde for sde, _ in SCHEDULES))
    if (preset.sde, preset.continuous) not in SCHEDULES:
        raise BadInput(
            f"{where}: continuous: false is not known for {preset.sde}; score_sde takes its times as continuous"
        )
    if preset.sde != "vesde" and not (o.centered and not o.scale_by_sigma):
        raise BadInput(f"{where}: centered, scale_by_sigma: {preset.sde} is known with true and false only")
    if preset.sde == "vesde" and preset.continuous != (o.embedding_type == "fourier"):
        raise BadInput(
            f"{where}: embedding_type: vesde is known with fourier if it is continuous, and positional if not"
        )
    ordered = 0 < preset.sigma_min < preset.sigma_max and 0 < preset.beta_min < preset.beta_max
    if not ordered or not 2 <= preset.num_scales <= MOST_SCALES:
        names = "num_scales, sigma_min, sigma_max, beta_min, beta_max"
        raise BadInput(f"{where}: {names}: expected 2 to {MOST_SCALES} scales, and 0 < min < max")
    if preset.sde == "vpsde" and not preset.continuous and preset.beta_max >= preset.num_scales:
        raise BadInput(f"{where}: beta_max: {preset.beta_max:g} is not below num_scales, {preset.num_scales}")
    return preset
