"""Read the arrays of .npy and .npz files. Nothing in them is run, and no memory is taken for what a header only declares."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sde_vae.data.io.archive import FREE_BYTES, MAX_RATIO, METHODS
from sde_vae.data.io.formats import shown
from sde_vae.errors import BadInput, reason, shortened

# Of an .npz all arrays are read into memory; a .npy of any size is mapped.
MAX_UNPACKED = 2**33
MAX_HEADER = 10_000
NUMBERS = "iuf"
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(path: Path) -> np.ndarray:
    """Return the array of a .npy file, mapped. Raises BadInput for a file that is damaged, or that holds anything but real numbers."""
    where = shown(path)
    try:
        with path.open("rb") as file:
            shape, dtype = _header(file, where)
            _require_numbers(dtype, where)
            expected = file.tell() + math.prod(shape) * dtype.itemsize
        if (size := path.stat().st_size) != expected:
            raise BadInput(f"{where}: damaged: {size} bytes, expected {expected} for an array of shape {shape}")
        # An empty array cannot be mapped.
        return np.load(path, mmap_mode="r" if math.prod(shape) else None, allow_pickle=False)
    except Exception as error:  # a damaged header may raise anything at all
        raise _unreadable(where, error) from error


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return name -> array of a .npz file. Raises BadInput for one that is damaged, too large, or holds anything but real numbers."""
    where = shown(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _require_modest(members, where)
            return {m.filename.removesuffix(".npy"): _member(archive, m, where) for m in members}
    except Exception as error:  # of a damaged archive too
        raise _unreadable(where, error) from error


def _require_modest(members: list[zipfile.ZipInfo], where: str) -> None:
    """Refuse an archive that inflates without measure, or whose methods inflate more than is read."""
    if len({m.filename for m in members}) < len(members):
        raise BadInput(f"{where}: two of its arrays have the same name")
    if (total := sum(m.file_size for m in members)) > MAX_UNPACKED:
        raise BadInput(f"{where}: its arrays have {total} bytes, at most {MAX_UNPACKED} are read; save them as .npy")
    for m in members:
        inflates = m.file_size > max(FREE_BYTES, MAX_RATIO * m.compress_size)
        if inflates or m.compress_type not in METHODS or m.flag_bits & 1:
            raise BadInput(
                f"{where}: {shown(m.filename)} is encrypted, or compressed too far or in another way than by numpy; save it by np.savez"
            )


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> np.ndarray:
    name = f"{where}: {shortened(shown(member.filename), 60)}"
    with archive.open(member) as file:
        shape, dtype = _header(file, name)
        _require_numbers(dtype, name)
        if (expected := file.tell() + math.prod(shape) * dtype.itemsize) != member.file_size:
            raise BadInput(f"{name}: damaged: {member.file_size} bytes, expected {expected} for shape {shape}")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False, max_header_size=MAX_HEADER)


def _header(file: Any, where: str) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and the type that a header declares."""
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise BadInput(f"{where}: holds records, expected an array of real numbers")
    shape, _, dtype = HEADERS[version](file, max_header_size=MAX_HEADER)
    return shape, dtype


def _require_numbers(dtype: np.dtype, where: str) -> None:
    if dtype.kind not in NUMBERS or dtype.itemsize > 8:
        held = "Python objects, which are never read" if dtype.hasobject else shortened(str(dtype), 60)
        raise BadInput(f"{where}: holds {held}; expected real numbers: float16, 32 or 64, or whole numbers")


def _unreadable(where: str, error: Exception) -> BadInput:
    if isinstance(error, BadInput):
        return error
    return BadInput(f"{where}: cannot be read ({reason(error)}); expected what np.save or np.savez writes")
