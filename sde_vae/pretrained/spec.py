"""What a pre-trained diffusion model is, in plain values: enough to build its network, its SDE and its prediction."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sde_vae.errors import BadInput, shortened
from sde_vae.files import read_checked, write_checked
from sde_vae.types import Params

# A run that has converted a pre-trained model keeps its description here, beside the checkpoints of the stage "prior".
FILE = "pretrained.json"


class PriorSpec(NamedTuple):
    """A pre-trained diffusion model without its parameters. Every value can be written as JSON.

    source        its format, in words: "diffusers UNet2DModel"
    body          its network: "unet2d" or "score_sde"
    options       the options of that network, by their names there
    image_shape   (H, W, C) of the images that it makes; (0, 0, C) where the file does not say their size
    prediction    what the network gives: "noise", "denoised" (E[x_0 | x_t]) or "velocity"
    schedule      {"name": "discrete_vp", "alphas_cumprod": [...], "t_min": 0.0}, the arguments of `discrete_vp`, or
                  {"name": "vp" | "sub_vp" | "ve", ...} with the fields of that SDE
    time          what the network takes as its time: "step" (that of a discrete schedule), {"step_scale": s} for the step times a number,
                  or {"scale": 999} for t of the SDE times a number, or "sigma" for the noise of a VE SDE in the units of the network's own
                  data, or {"levels": n} for the number of the nearest of n levels of a VE SDE, counted from the largest sigma
    notes         what was ignored or assumed, one line each
    """

    source: str
    body: str
    options: dict[str, Any]
    image_shape: tuple[int, int, int]
    prediction: str
    schedule: dict[str, Any]
    time: Any = "step"
    notes: tuple[str, ...] = ()


class PriorFile(NamedTuple):
    """A pre-trained model on disk: what it is, and a function that reads and converts its parameters, tensor by tensor."""

    spec: PriorSpec
    read: Callable[[], Params]


def write_spec(folder: Path, spec: PriorSpec, origin: str) -> None:
    """Write the description to FOLDER/pretrained.json, with a checksum; `origin` names the file that it was read from."""
    folder.mkdir(parents=True, exist_ok=True)
    write_checked(folder / FILE, {"origin": origin, **spec._asdict()})


def read_spec(folder: Path, field: str) -> PriorSpec:
    """Return the description in FOLDER/pretrained.json. Raises BadInput, naming `field`, for one that is damaged or of another version."""
    try:
        found = read_checked(folder / FILE)
        found.pop("origin")
        spec = PriorSpec(**found)
        json.dumps(spec.options)
        return spec._replace(image_shape=tuple(spec.image_shape), notes=tuple(spec.notes))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(
            f"{field}: {folder / FILE} is damaged ({shortened(str(error))}); train in another --workdir"
        ) from error
