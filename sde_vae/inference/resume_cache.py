"""Results of unfinished work, kept so that work which was stopped goes on where it was."""

import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sde_vae.files import finite_json, read_checked, write_checked, write_zipped, zipped
from sde_vae.keyed_folder import Key, first_difference, held_key, write_key


def go_on() -> None:
    """Never stop between two pieces."""


class ResumeCache:
    """A folder of finished pieces that belong to `key` (JSON: the checkpoint's step, the config, the data, ...).

    Pieces that another key left behind are deleted, and damaged ones are made again, with a warning. check() is called before each
    piece is made; it may raise an exception to stop there.
    """

    def __init__(self, directory: Path, key: Key, check: Callable[[], None] = go_on):
        self.directory, self._check = directory, check
        held = held_key(directory)
        if held is None or first_difference(held, key) is not None:
            shutil.rmtree(directory, ignore_errors=True)
            write_key(directory, key)

    def values(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what make() returns, or returned before. Values that are not finite, which JSON lacks, are not kept."""
        path = self.directory / f"{_slug(name)}.json"
        found = self._kept(path, read_checked)
        if not isinstance(found, dict):
            self._check()
            found = make()
            if not finite_json(found)[1]:
                write_checked(path, found)
        return found

    def array(self, name: str, rows: range, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return these rows of the array called `name`: make(), or what it returned before.

        Pieces are found by their first and last row: another number of devices, and so of rows at once, makes other pieces.
        """
        path = self.directory / _slug(name) / f"{rows.start:06d}_{rows.stop:06d}.npz"
        array = self._kept(path, zipped)
        if array is None:
            self._check()
            array = make()
            write_zipped(path, array)
        return array

    def _kept(self, path: Path, read: Callable[[Path], Any]) -> Any:
        """Return read(path), or None if there is no such piece, or a damaged one."""
        if not path.exists():
            return None
        try:
            return read(path)
        except Exception as error:  # a damaged archive may raise anything at all
            warnings.warn(f"{path}: damaged ({type(error).__name__}); made again", stacklevel=3)
            return None

    def discard(self) -> None:
        """Delete all pieces."""
        shutil.rmtree(self.directory, ignore_errors=True)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name)
