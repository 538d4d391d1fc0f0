"""What unfinished work has made so far, so that what was stopped goes on where it was."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sde_vae.files import write_array, write_json


class ResumeCache:
    """A folder of finished pieces that belong to `key` (JSON: the checkpoint's step, the config, the data, ...).

    Pieces that another key left behind are thrown away.
    """

    def __init__(self, directory: Path, key: dict[str, Any]):
        self.directory = directory
        key = json.loads(json.dumps(key))
        if _read_json(directory / "key.json") != key:
            shutil.rmtree(directory, ignore_errors=True)
            write_json(directory / "key.json", key)

    def values(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What make() returned, this time or before."""
        path = self.directory / f"{_slug(name)}.json"
        found = _read_json(path)
        if found is None:
            found = make()
            write_json(path, found)
        return found

    def array(self, name: str, number: int, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Piece `number` of the arrays called `name`, made now or before."""
        path = self.directory / _slug(name) / f"{number:06d}.npy"
        if path.exists():
            try:
                return np.load(path, allow_pickle=False)
            except (OSError, ValueError, EOFError):  # cut short: made again
                path.unlink()
        array = make()
        write_array(path, array)
        return array

    def discard(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return None


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name)
