"""The tensors of score_sde's two kinds of checkpoints: PyTorch's `checkpoint_N.pth` and Flax's `checkpoint_N`.

Both hold an optimizer, the parameters and their moving averages, of which the averages are read. In a `.pth` those are a list without
names: number i belongs to the i-th name of the model's own tensors, less the buffer `sigmas` and the Fourier features, which are not trained.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sde_vae.errors import BadInput, shortened
from sde_vae.nets.score_sde_options import ScoreSDEOptions
from sde_vae.pretrained import torch_files
from sde_vae.pretrained.arrays import read_arrays
from sde_vae.pretrained.msgpack_files import is_flax, read_flax
from sde_vae.pretrained.score_sde_names import FOURIER, Sources, flax_sources, torch_sources

Arrays = Mapping[str, np.ndarray]
EMA = "ema/shadow_params/"
FLAX_EMA = "params_ema/"
IGNORED = "optimizer and last parameters are ignored: the moving averages are taken"


class Tensors(NamedTuple):
    """What is read from a file: name -> array, the noise levels of the VE SDE (None if unknown), and notes."""

    arrays: dict[str, np.ndarray]
    sigmas: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """name -> shape."""
        return {name: array.shape for name, array in self.arrays.items()}


class Format(NamedTuple):
    """One of the two kinds of files.

    source      its name, in words
    read        path -> the tensors, with the averages in place of the parameters; None for a file of something else
    sources     options -> where each parameter is in such a file
    """

    source: str
    read: Callable[[Path], Tensors | None]
    sources: Callable[[ScoreSDEOptions], Sources]


def format_of(path: Path) -> Format | None:
    """Return the kind of a file, by its first bytes; None for any other."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        start = file.read(64)
    if is_flax(start):
        return FLAX
    return TORCH if start.startswith(b"PK\x03\x04") or torch_files.is_legacy(start) else None


def read_torch(path: Path) -> Tensors | None:
    """Return the tensors of a `.pth`, by names like all_modules.3.Conv_0.weight; None without such names."""
    arrays = read_arrays(path, lambda name: name.startswith(("model/", EMA)))
    return from_torch(arrays, str(path))


def from_torch(arrays: Arrays, where: str) -> Tensors | None:
    """Return the tensors of a `.pth`, given its arrays: those of `model` and of `ema`."""
    model = {_plain(name): array for name, array in arrays.items() if name.startswith("model/")}
    if not any(name.startswith("all_modules.") for name in model):
        return None
    sigmas = model.pop("sigmas", None)
    averages = [arrays[name] for name in sorted((n for n in arrays if n.startswith(EMA)), key=_place)]
    if not averages:
        return Tensors(model, sigmas, ("the file has no moving averages (ema): the model's last parameters are taken",))
    trained = [name for name in model if not FOURIER.fullmatch(name)]
    if len(trained) != len(averages):
        raise BadInput(f"{where}: ema has {len(averages)} tensors for {len(trained)} parameters; fetch the file again")
    for name, average in zip(trained, averages, strict=True):
        if average.shape != model[name].shape:
            shapes = f"{average.shape} in ema and {model[name].shape} in model"
            raise BadInput(f"{where}: the tensor {name} has the shape {shapes}; fetch the file again")
    return Tensors(model | dict(zip(trained, averages, strict=True)), sigmas, (IGNORED,))


def read_flax_averages(path: Path) -> Tensors | None:
    """Return the moving averages of a Flax checkpoint, by names like Conv_0/kernel. None if it is of something else."""
    arrays = read_flax(path, lambda name: name.startswith(FLAX_EMA))
    averages = {name.removeprefix(FLAX_EMA): array for name, array in arrays.items()}
    if not averages:
        return None
    return Tensors(averages, None, (IGNORED,))


TORCH = Format("score_sde, PyTorch", read_torch, torch_sources)
FLAX = Format("score_sde, Flax", read_flax_averages, flax_sources)


def _plain(name: str) -> str:
    """Return the name of a tensor of `model` without its wrappers; older files have Conv for Conv_0 where images are combined."""
    name = name.removeprefix("model/").removeprefix("module.")
    return re.sub(r"^(all_modules\.\d+\.Conv)\.", r"\1_0.", name)


def _place(name: str) -> int:
    """Return the place of a tensor in ema's list."""
    place = name.removeprefix(EMA)
    if not re.fullmatch(r"\d{1,6}", place):
        raise BadInput(f"a tensor of ema is named {shortened(repr(name))}, and not by its place in a list")
    return int(place)
