"""Read third-party weight files as plain arrays under flat names.

The formats are PyTorch state dicts (both formats of torch.save), pickles of nested dicts of numpy arrays, and safetensors. The
format is recognised by the content. Nothing that a file names is run or imported. No memory is allocated for a size that a file
only declares, and what is built is at most some times as large as the file.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from sde_vae.errors import BadInput, reason, shortened
from sde_vae.pretrained import numpy_files, torch_files
from sde_vae.pretrained.pickles import MAX_NAME, Refused, shown

# Arrays may share their bytes (tied weights): all arrays together have at most so many times the bytes of the file.
MAX_SHARING = 8
# Dicts in dicts, and bytes of the header of safetensors: a hundred for each array.
MAX_DEPTH = 64
MAX_HEADER = 10_000_000
SAFETENSORS = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return name -> array, which are read-only.

    The names of nested dicts are joined by "/", as in "Conv_0/kernel". torch's dots are kept. Python numbers become arrays of
    shape [], and None is left out. Raises BadInput, which names the file, if it cannot be read, is truncated or corrupt, or
    holds anything but arrays.
    """
    try:
        if path.exists() and not path.is_file():
            raise BadInput(f"{path}: not a file; give the path of a weight file")
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give the path of a weight file") from error
    reader = _reader(path, data)
    try:
        return _gather(reader(data), MAX_SHARING * len(data))
    except Refused as error:
        raise BadInput(f"{path}: refused: {shortened(str(error), 300)}") from error
    except Exception as error:  # a corrupt pickle or archive may raise anything at all
        raise BadInput(f"{path}: corrupt or cut short ({reason(error)}); fetch it again") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reader(path: Path, data: bytes) -> Callable[[bytes], Any]:
    """Return the reader for a file's first bytes: a zip archive, torch's magic number, a pickle, or safetensors' JSON header."""
    if data.startswith(b"PK\x03\x04"):
        return torch_files.read_zip
    if torch_files.is_legacy(data):
        return torch_files.read_legacy
    if len(data) > 1 and data[0] == 0x80 and data[1] <= 5:
        return numpy_files.read
    if data[8:9] == b"{":
        return _read_safetensors
    raise BadInput(
        f"{path}: not a weight file we know; expected torch.save's, a pickle of numpy arrays, or safetensors"
    )


def _read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """Return name -> array. The numpy reader of the package safetensors does not know bfloat16."""
    if (header := int.from_bytes(data[:8], "little")) > min(MAX_HEADER, len(data)):
        raise Refused(f"header too large: {header} bytes in a file of {len(data)}, at most {MAX_HEADER} are read")
    described = safetensors.deserialize(data)
    if unknown := {tensor["dtype"] for _, tensor in described} - SAFETENSORS.keys():
        raise Refused(f"it holds arrays of type {', '.join(sorted(unknown))}, which we do not read")
    return {name: np.frombuffer(t["data"], SAFETENSORS[t["dtype"]]).reshape(t["shape"]) for name, t in described}


def _gather(tree: Any, most: int) -> dict[str, np.ndarray]:
    if not isinstance(tree, dict):
        raise Refused(f"it holds one {type(tree).__name__} and not a dict of arrays")
    arrays, size = {}, 0
    for name, array in _flatten(tree, (), set()):
        if name in arrays:
            raise Refused(f"two of its arrays have the same name {shown(name)}")
        if (size := size + array.nbytes) > most:
            raise Refused(f"its arrays are of over {most} bytes in all, far more than the file")
        arrays[name] = array
    return arrays


def _flatten(node: Any, place: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, array) of every leaf. Raises Refused for a dict that occurs twice: nested, a few of them have endless leaves."""
    name = "/".join(place)
    if len(place) > MAX_DEPTH or len(name) > MAX_NAME:
        raise Refused(f"its dicts are over {MAX_DEPTH} deep, or their names over {MAX_NAME} characters")
    if isinstance(node, dict):
        if id(node) in seen:
            raise Refused(f"the dict at {shown(name)} is there twice")
        seen.add(id(node))
        for key, child in node.items():
            yield from _flatten(child, (*place, str(key)), seen)
    elif isinstance(node, numpy_files.NumpyArray | torch_files.Tensor):
        yield name, node.array
    elif isinstance(node, np.ndarray | bool | float) or (isinstance(node, int) and abs(node) < 2**63):
        yield name, np.asarray(node)
    elif node is not None:
        raise Refused(f"{shown(name)} is of type {type(node).__name__}, and not an array or a number of 64 bits")
