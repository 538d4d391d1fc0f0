"""Atomic writes: a new file replaces the old one in one move, so that no reader meets half of it. What is read back is checked."""

import contextlib
import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from sde_vae.errors import BadInput, NotWritten


def write_text(path: Path, text: str) -> None:
    """Replace a text file, in UTF-8, in one move. A name that is not UTF-8 is escaped, as in \\udcff."""
    _replace(path, lambda file: file.write(text.encode(errors="backslashreplace")))


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a binary file in one move."""
    _replace(path, lambda file: file.write(data))


def write_array(path: Path, array: np.ndarray) -> None:
    """Replace a .npy file in one move."""
    _replace(path, lambda file: np.save(file, array, allow_pickle=False))


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Replace a compressed .npz file in one move; the keywords name its arrays."""
    _replace(path, lambda file: np.savez_compressed(file, **cast(dict[str, Any], arrays)))


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one move, with sorted keys. Raises ValueError for nan and inf, which JSON lacks."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_checked(path: Path, value: Any) -> None:
    """Replace a JSON file with {"value": value, "crc32": its checksum}, for `read_checked`."""
    write_json(path, {"value": value, "crc32": json_crc32(value)})


def read_checked(path: Path) -> Any:
    """Return what `write_checked` wrote. Raises OSError if it cannot be read, and ValueError if it is damaged."""
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict) or found.keys() != {"value", "crc32"}:
        raise ValueError("it has no checksum")
    if found["crc32"] != json_crc32(found["value"]):
        raise ValueError("its checksum is wrong")
    return found["value"]


def json_crc32(value: Any) -> int:
    """Return a checksum of what JSON can hold: that of the value as it is read back."""
    return zlib.crc32(json.dumps(json.loads(json.dumps(value)), sort_keys=True).encode())


def finite_json(value: Any, name: str = "") -> tuple[Any, list[str]]:
    """Return (the value with None for each number that is not finite, the names of these numbers). numpy's numbers become Python's.

    >>> finite_json({"a": 1.5, "b": [float("nan"), 2]})
    ({'a': 1.5, 'b': [None, 2]}, ['b/0'])
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None, [name]
    if not isinstance(value, dict | list | tuple):
        return value, []
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    made = {key: finite_json(of, f"{name}/{key}" if name else str(key)) for key, of in pairs}
    lost = [one for _, names in made.values() for one in names]
    return ({k: v for k, (v, _) in made.items()} if isinstance(value, dict) else [v for v, _ in made.values()]), lost


def require_writable(folder: Path, field: str, size: int = 0) -> None:
    """Make the folder. Raises BadInput, naming `field`, if it cannot be made or written, or has less room than `size` bytes."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(bytes(4096))
        finally:
            probe.unlink(missing_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise BadInput(f"{field}: {folder} cannot be written ({error.strerror}); give a folder that can") from error
    if free < size:
        raise BadInput(
            f"{field}: {folder} has room for {free / 1e6:,.1f} MB, expected {size / 1e6:,.1f} MB for a checkpoint; free some, or give "
            "another folder"
        )


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Turn errors of writing `path` into NotWritten, one line."""
    try:
        yield
    except OSError as error:
        # numpy raises one without a number where the disk is full.
        why = error.strerror or "no space left on device?"
        raise NotWritten(f"{path}: cannot be written ({why}); free some room, then the same command goes on") from error


def write_zipped(path: Path, array: np.ndarray) -> None:
    """Replace an uncompressed .npz file of one array: unlike a .npy file, it has a checksum."""
    _replace(path, lambda file: np.savez(file, array=array))


def zipped(path: Path) -> np.ndarray:
    """Return the array of `write_zipped`. Raises an exception of any type if the file is damaged."""
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        return file["array"]


def _replace(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The process's own: two may write the same file at once.
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
