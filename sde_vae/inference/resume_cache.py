"""Results of unfinished work, kept so that work which was stopped goes on where it was."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sde_vae.files import write_array, write_json
from sde_vae.keyed_folder import Key, first_difference, held_key, write_key


class ResumeCache:
    """A folder of finished pieces that belong to `key` (JSON: the checkpoint's step, the config, the data, ...).

    Pieces that another key left behind are deleted.
    """

    def __init__(self, directory: Path, key: Key):
        self.directory = directory
        held = held_key(directory)
        if held is None or first_difference(held, key) is not None:
            shutil.rmtree(directory, ignore_errors=True)
            write_key(directory, key)

    def values(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what make() returns, or returned before."""
        path = self.directory / f"{_slug(name)}.json"
        found = _read_json(path)
        if found is None:
            found = make()
            write_json(path, found)
        return found

    def array(self, name: str, rows: range, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return these rows of the array called `name`: make(), or what it returned before. A damaged piece is made again.

        Pieces are found by their first and last row: another number of devices, and so of rows at once, makes other pieces.
        """
        path = self.directory / _slug(name) / f"{rows.start:06d}_{rows.stop:06d}.npy"
        if path.exists():
            try:
                return np.load(path, allow_pickle=False)
            except (OSError, ValueError, EOFError):  # cut short: made again
                path.unlink()
        array = make()
        write_array(path, array)
        return array

    def discard(self) -> None:
        """Delete all pieces."""
        shutil.rmtree(self.directory, ignore_errors=True)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return None


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name)
