"""Checkpoints of score_sde (arXiv:2011.13456) as priors: which of its models a file holds, and its parameters."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sde_vae.errors import BadInput
from sde_vae.nets.score_sde_options import ScoreSDEOptions
from sde_vae.pretrained.score_sde_files import Format, Tensors, format_of
from sde_vae.pretrained.score_sde_names import Shape, converted, misfit
from sde_vae.pretrained.score_sde_presets import PRESETS, Preset
from sde_vae.pretrained.score_sde_spec import preset_beside, preset_named, spec_of
from sde_vae.pretrained.spec import PriorFile
from sde_vae.types import Params

# The second norm of a block, in the two kinds of files.
SECOND_NORM = re.compile(r"[/.]GroupNorm_1[/.]bias$")


def find(path: Path, preset: str = "") -> PriorFile | None:
    """Return the pre-trained model in a checkpoint of score_sde, or None if the file is something else.

    `preset` is the name of score_sde's config file, as "ve/celebahq_256_ncsnpp_continuous". Without it the fields of the config are taken
    from FILE.json; without that file the names and shapes of the tensors must fit exactly one of the configs. Raises BadInput if they do
    not, and if the file is not whole.
    """
    kind = format_of(path)
    tensors = kind.read(path) if kind else None
    if kind is None or tensors is None:
        return None
    chosen, note = _chosen(path, preset, kind, tensors)
    sources = kind.sources(chosen.options)
    if fault := misfit(sources, tensors.shapes) or _other_sigmas(chosen, tensors):
        raise BadInput(f"{path}: {fault} ({note}); give the config that it was trained with, or fetch it again")

    def read() -> Params:
        again = kind.read(path)
        return converted(sources, again.arrays if again else {}, str(path))

    return PriorFile(spec_of(chosen, kind.source, (note, *tensors.notes)), read)


def _chosen(path: Path, preset: str, kind: Format, tensors: Tensors) -> tuple[Preset, str]:
    """Return (preset, a note on its origin)."""
    beside = path.with_name(f"{path.name}.json")
    if preset:
        name, found = preset_named(preset)
        return found, f"preset {name}" + (f"; {beside.name} is ignored" if beside.exists() else "")
    if described := preset_beside(beside):
        return described, f"options from {beside.name}"
    fitting = {name: candidate for name, candidate in PRESETS.items() if _fits(candidate, kind, tensors)}
    names = ", ".join(fitting)
    if not fitting:
        raise BadInput(f"{path}: fits none of score_sde's configs; write the fields of its config into {beside.name}")
    if len(set(fitting.values())) > 1:
        raise BadInput(f"{path}: fits more than one config of score_sde; give one of these names as preset: {names}")
    return next(iter(fitting.values())), f"preset {names}, the only model of score_sde that has these tensors"


def _fits(preset: Preset, kind: Format, tensors: Tensors) -> bool:
    """Return whether a file has exactly the tensors and noise levels of a preset."""
    if not _plausible(preset.options, tensors.shapes) or _other_sigmas(preset, tensors):
        return False
    return not misfit(kind.sources(preset.options), tensors.shapes)


def _plausible(o: ScoreSDEOptions, shapes: Mapping[str, Shape]) -> bool:
    """Return whether a file has as many blocks as a network, and its first convolution and dense layer. To know all shapes takes seconds."""
    blocks = len(o.ch_mult) * (2 * o.num_res_blocks + 1) + 2
    blocks += 2 * (len(o.ch_mult) - 1) if o.resblock_type == "biggan" else 0
    embedded = 2 * o.nf if o.embedding_type == "fourier" else o.nf
    found = set(shapes.values())
    conv = {(3, 3, o.channels, o.nf), (o.nf, o.channels, 3, 3)} & found
    dense = {(embedded, 4 * o.nf), (4 * o.nf, embedded)} & found
    return bool(conv) and bool(dense) == o.conditional and blocks == sum(map(bool, map(SECOND_NORM.search, shapes)))


def _other_sigmas(preset: Preset, tensors: Tensors) -> str:
    """Return in what the noise levels of a file differ from those of a VE preset, or ""."""
    sigmas = tensors.sigmas
    if preset.sde != "vesde" or sigmas is None or sigmas.ndim != 1 or len(sigmas) == 0:
        return ""
    n, ends = preset.num_scales, (preset.sigma_max, preset.sigma_min)
    if len(sigmas) == n and np.allclose((sigmas[0], sigmas[-1]), ends, rtol=1e-3):
        return ""
    found = f"{len(sigmas)} noise levels from {sigmas[0]:.4g} down to {sigmas[-1]:.4g}"
    return f"it has {found}, and should have {n} from {ends[0]:g} down to {ends[1]:g}"
