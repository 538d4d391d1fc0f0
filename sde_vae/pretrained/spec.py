"""What a diffusion model of somebody else is, in plain values: enough to build its network, its SDE and its prediction."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sde_vae.types import Params


class PriorSpec(NamedTuple):
    """A pre-trained diffusion model without its parameters. Every value can be written as JSON.

    source        its format, in words: "diffusers UNet2DModel"
    body          its network: "unet2d" or "score_sde"
    options       the options of that network, by their names there
    image_shape   (H, W, C) of the images that it makes
    prediction    what the network gives: "noise", "denoised" (E[x_0 | x_t]) or "velocity"
    schedule      {"name": "discrete_vp", "alphas_cumprod": [...], "t_min": 0.0}, the arguments of `discrete_vp`, or
                  {"name": "vp" | "sub_vp" | "ve", ...} with the fields of that SDE
    time          what the network takes as its time: "step" (that of a discrete schedule), or {"scale": 999} for t of the SDE times a number,
                  or "sigma" for the noise of a VE SDE
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
