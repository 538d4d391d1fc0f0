"""Atomic writes: a new file replaces the old one in one move, so that no reader meets half of it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import numpy as np


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


def _replace(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
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


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one move, with sorted keys. Raises ValueError for nan and inf, which JSON lacks."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")
