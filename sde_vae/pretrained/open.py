"""Open a pre-trained diffusion model of any format that is known. The files tell which it is."""

from collections.abc import Callable
from pathlib import Path

from sde_vae.errors import BadInput
from sde_vae.pretrained import diffusers, guided_diffusion, score_sde
from sde_vae.pretrained.spec import PriorFile

# find(path, preset, scheduler) -> the model, or None for files of another format
FORMATS: dict[str, Callable[[Path, str, str], PriorFile | None]] = {
    "a folder of diffusers' UNet2DModel": lambda path, preset, scheduler: diffusers.find(path, scheduler),
    "a file with guided-diffusion's names": lambda path, preset, scheduler: guided_diffusion.find(path, preset),
    "a checkpoint of score_sde": lambda path, preset, scheduler: score_sde.find(path, preset),
}


def open_prior(path: Path, preset: str = "", scheduler: str = "") -> PriorFile:
    """Return the pre-trained model in a file or folder: its description, and a function that reads its parameters.

    Of large files the names and shapes of the arrays are read. `preset` and `scheduler` say what some formats leave out; see
    docs/pretrained.md. Raises BadInput, which names what is wrong, for a path that is none of the known formats, and for files that are
    cut short, damaged or of a network that we do not have.
    """
    if not path.exists():
        raise BadInput(
            f"config.prior.checkpoint: {path} does not exist; give a workdir with a trained prior, or a pre-trained model"
        )
    for find in FORMATS.values():
        if found := find(path, preset, scheduler):
            return found
    raise BadInput(
        f"config.prior.checkpoint: {path} is not a model that we know; expected a workdir with a trained prior, or {', or '.join(FORMATS)}"
    )
