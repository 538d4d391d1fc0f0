"""WORKDIR/STAGE/ema.safetensors: the EMA parameters of a stage in one small file, all that inference needs of it.

Arrays of floating point are kept as float16. The metadata hold the stage, the step, the state of the data, the types that the arrays
had, and a checksum of all this: a damaged file is refused.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from sde_vae.errors import BadInput, reason, shortened
from sde_vae.files import write_bytes
from sde_vae.types import Params

# The name of the metadata within the file; its value is JSON.
FACTS = "sde_vae"


def write_ema(path: Path, stage: str, params: Params, step: int, data: dict[str, Any] | None) -> None:
    """Write the parameters of a stage, their step and the state of its data. Raises BadInput for one that float16 cannot hold."""
    arrays = _named(params)
    # An overflow is infinite, and refused below.
    with np.errstate(over="ignore"):
        small = {name: a.astype(np.float16) if a.dtype.kind == "f" else a for name, a in arrays.items()}
    for name, a in small.items():
        if not np.all(np.isfinite(a)):
            raise BadInput(f"{path}: {name} has values that float16 cannot hold, up to {np.abs(arrays[name]).max():g}")
    facts = {"stage": stage, "step": step, "data": data, "dtypes": {name: str(a.dtype) for name, a in arrays.items()}}
    text = json.dumps(facts | {"crc32": _checksum(small, facts)}, sort_keys=True)
    write_bytes(path, safetensors.numpy.save(small, {FACTS: text}))


def read_ema(path: Path, stage: str, abstract: Params, field: str) -> tuple[Params, int, dict[str, Any] | None]:
    """Return (parameters in the types that they had, step, state of the data). `abstract` has the structure that is expected.

    Raises BadInput, naming `field`, for a file that is damaged, or of another stage or network.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            facts = json.loads((file.metadata() or {})[FACTS])
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
        if facts.pop("crc32") != _checksum(arrays, facts):
            raise ValueError("its checksum is wrong")
        _check_facts(facts, arrays)
    # Whatever its readers meet.
    except Exception as error:
        raise BadInput(f"{field}: {path} is damaged ({reason(error)}); copy or install it again") from error
    if facts["stage"] != stage:
        raise BadInput(
            f"{field}: expected parameters of the stage {stage!r} in {path}, found those of {shortened(repr(facts['stage']))}"
        )
    expected = {name: (list(a.shape), str(a.dtype)) for name, a in _named(abstract).items()}
    found = {name: (list(a.shape), facts["dtypes"][name]) for name, a in arrays.items()}
    if wrong := sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)):
        raise BadInput(
            f"{field}: {path} is of another network: expected {shortened(wrong[0])} to be {expected.get(wrong[0], 'absent')}, "
            f"found {shortened(str(found.get(wrong[0], 'absent')))} ({len(wrong)} arrays differ); use the config that it was trained with"
        )
    leaves = [arrays[name].astype(facts["dtypes"][name]) for name in expected]
    return jax.tree.unflatten(jax.tree.structure(abstract), leaves), facts["step"], facts["data"]


def _check_facts(facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError unless the facts are of the types that `write_ema` gives them."""
    kinds = {"stage": str, "step": int, "data": dict | None, "dtypes": dict}
    for name, kind in kinds.items():
        if name not in facts or not isinstance(facts[name], kind):
            raise ValueError(f"its metadata have no {name}")
    if facts["dtypes"].keys() != arrays.keys() or not all(isinstance(t, str) for t in facts["dtypes"].values()):
        raise ValueError("its metadata do not have the types of its arrays")


def _named(tree: Params) -> dict[str, Any]:
    """Return "Conv_0/kernel" -> array, in the order of the leaves. Arrays without values stay as they are."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    return {name: a if isinstance(a, jax.ShapeDtypeStruct) else np.asarray(a) for name, a in named.items()}


def _checksum(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> int:
    """Return the CRC-32 of the facts and of every array with its name, type and shape."""
    crc = zlib.crc32(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        crc = zlib.crc32(a.tobytes(), zlib.crc32(f"{name} {a.dtype} {a.shape}".encode(), crc))
    return crc
