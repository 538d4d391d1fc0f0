"""Find the splits of arrays: in one file, in an .npz with one array for each, or in a folder with one file for each."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sde_vae.data.datasets.array_csv import read_csv
from sde_vae.data.io.array_files import read_npy, read_npz
from sde_vae.data.io.formats import shown
from sde_vae.errors import BadInput, shortened

SPLITS = ("train", "valid", "test")
LABELS = "labels"
ENDINGS = (".npy", ".npz", ".csv")
EXPECTED = "a .npy, .npz or .csv file, or a folder with train, valid and test"


class Part(NamedTuple):
    """An array [n, *shape] as it is in a file, its place for messages, and its labels [n] or None."""

    array: np.ndarray
    where: str
    labels: np.ndarray | None = None


def find_splits(path: Path) -> dict[str, Part]:
    """Return the arrays of a file or folder by split, or the one array of it as {"": array}. Raises BadInput that says what there is."""
    if not path.is_dir():
        return _of_file(path)
    files = {file.stem: file for file in sorted(path.iterdir()) if file.suffix.lower() in ENDINGS}
    if "train" in files and files.keys() <= set(SPLITS):
        return {name: only_array(files[name]) for name in SPLITS if name in files}
    if len(files) == 1:
        return _of_file(next(iter(files.values())))
    has = shown(shortened(", ".join(sorted(f.name for f in files.values())))) or "none"
    raise BadInput(
        f"config.data.dir: {shown(path)}: expected one file of arrays, or train, valid and test; it has {has}"
    )


def only_array(path: Path) -> Part:
    """Return the one array of a file. Raises BadInput for one that holds several."""
    found = _of_file(path)
    if list(found) != [""]:
        raise BadInput(f"{shown(path)}: holds the arrays {', '.join(found)}; expected one array, and perhaps {LABELS}")
    return found[""]


def _of_file(path: Path) -> dict[str, Part]:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise BadInput(f"{shown(path)}: expected {EXPECTED}")
    return reader(path)


def _of_npz(path: Path) -> dict[str, Part]:
    arrays, where = read_npz(path), shown(path)
    data = {name: array for name, array in arrays.items() if name.rpartition("_")[2] != LABELS}
    of = lambda name: Part(data[name], f"{where}: {shown(name)}", arrays.get(f"{name}_{LABELS}"))
    if "train" in data and data.keys() <= set(SPLITS):
        return {name: of(name) for name in SPLITS if name in data}
    if len(data) == 1:
        (name,) = data
        return {"": of(name)._replace(labels=arrays.get(LABELS, arrays.get(f"{name}_{LABELS}")))}
    has = shown(shortened(", ".join(sorted(arrays)))) or "none"
    raise BadInput(f"{where}: expected one array, or train, valid and test, and perhaps {LABELS}; it has {has}")


READERS: dict[str, Callable[[Path], dict[str, Part]]] = {
    ".npy": lambda path: {"": Part(read_npy(path), shown(path))},
    ".csv": lambda path: {"": Part(read_csv(path), shown(path))},
    ".npz": _of_npz,
}
