"""The user's own arrays: vectors [n, d], time series [n, length, channels] or float arrays [n, H, W, C], as .npy, .npz or .csv.

They are standardised by the mean and the standard deviation of the training split: of each dimension of a vector, otherwise of each
channel. The arrays of a .npy are mapped and not read into memory.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sde_vae.data.dataset import DataOptions, Dataset, Split, make_splits
from sde_vae.data.datasets.array_splits import EXPECTED, Part, find_splits, only_array
from sde_vae.data.datasets.folder import require_path
from sde_vae.data.io.formats import shown
from sde_vae.data.scaling import Standardisation
from sde_vae.errors import BadInput

# Numbers that are read at once.
CHUNK = 2**22
# A deviation below this share of the mean is rounding.
ROUNDING = 1e-12
FEWEST = 10  # examples of which some are held out
LISTED = 8


@dataclass(frozen=True, eq=False)
class Standardised:
    """Standardised examples, float32 [*shape] each: the `rows` of an array that may lie on disk."""

    array: np.ndarray
    rows: np.ndarray
    scaling: Standardisation
    identity: str = field(default="")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int, /) -> np.ndarray:
        return self.scaling.to_model(self.array[self.rows[i]])

    def __getitems__(self, index: list[int]) -> np.ndarray:
        return self.scaling.to_model(self.array[self.rows[index]])


def arrays(options: DataOptions) -> Dataset:
    """Return the splits of the file or folder options.dir, whose examples have the shape options.shape.

    Without splits in the file a tenth of the examples each is held out for valid and test, always the same; of fewer than ten none is.
    Raises BadInput, which names the place, for a value that is not finite, for another shape or type, and for data without any variation.
    """
    path = require_path(options.dir, EXPECTED)
    parts = find_splits(path)
    for part in parts.values():
        require_examples(part, options.shape, "config.data.shape")
    labelled = all(part.labels is not None for part in parts.values())
    rows = {name: np.arange(len(part.array)) for name, part in parts.items()}
    notes = _notes(parts, labelled)
    if "" in parts:
        n = len(parts[""].array)
        rows = _held_out(n)
        notes.append(
            f"the file has no splits: {', '.join(f'{len(i)} for {name}' for name, i in rows.items())}, always the same"
        )
        parts = dict.fromkeys(rows, parts[""])
    scaling, constant = _fit(parts["train"].array, rows["train"])
    if len(constant) == len(scaling.mean):
        raise BadInput(
            f"{parts['train'].where}: every value is constant over the training examples: there is nothing to learn"
        )
    if len(constant):
        some = ", ".join(map(str, constant[:LISTED])) + (", ..." if len(constant) > LISTED else "")
        notes.append(
            f"{len(constant)} of {len(scaling.mean)} dimensions are constant in the training split and not divided ({some}): a density has "
            "no bound there, so leave them out for nll_bound"
        )
    splits = {
        name: Split(
            Standardised(part.array, rows[name], scaling, _digest(part.array, rows[name])),
            _labels(part)[rows[name]] if labelled else None,
        )
        for name, part in parts.items()
    }
    return Dataset(
        path.name, splits, levels=0, attributes=("label",) if labelled else (), notes=tuple(notes), scaling=scaling
    )


def read_examples(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return the array [n, *shape] of a file, in its own units, float64. Raises BadInput as `arrays` does."""
    part = only_array(path)
    require_examples(part, shape, "--input")
    return np.asarray(part.array, np.float64)


def require_examples(part: Part, shape: tuple[int, ...], name: str) -> None:
    """Raise BadInput unless an array is [n, *shape] with n at least 1 and every value a finite float32."""
    array, where = part.array, part.where
    if array.ndim < 2 or len(array) == 0 or array.shape[1:] != shape:
        raise BadInput(
            f"{name}: got an array of shape {array.shape} in {where}, expected [n, {', '.join(map(str, shape))}], n at least 1"
        )
    for start, chunk in _chunks(array, np.arange(len(array))):
        wrong = np.argwhere(~(np.abs(chunk) <= np.finfo(np.float32).max))  # of NaN too
        if len(wrong):
            place = [int(wrong[0, 0]) + start, *map(int, wrong[0, 1:])]
            raise BadInput(
                f"{where}: got {chunk[tuple(wrong[0])]:g} at {place}, expected finite numbers of float32's range"
            )


def _chunks(array: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (the place of its first row, float64 rows) of an array, some at a time."""
    size = max(1, CHUNK // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(rows), size):
        yield start, np.asarray(array[rows[start : start + size]], np.float64)


def _held_out(n: int) -> dict[str, np.ndarray]:
    if n < FEWEST:
        return {"train": np.arange(n)}
    return {name: np.asarray(split.images) for name, split in make_splits(np.arange(n), None, n // 10, n // 10).items()}


def _fit(array: np.ndarray, rows: np.ndarray) -> tuple[Standardisation, np.ndarray]:
    """Return (the standardisation of these rows, the places of the last axis that are constant). Two passes, in float64."""
    axes, count = tuple(range(array.ndim - 1)), len(rows) * int(np.prod(array.shape[1:-1]))
    mean = sum((chunk.sum(axis=axes) for _, chunk in _chunks(array, rows)), np.zeros(array.shape[-1])) / count
    square = lambda chunk: np.square(chunk - mean[(None,) * (array.ndim - 1)]).sum(axis=axes)
    std = np.sqrt(sum((square(chunk) for _, chunk in _chunks(array, rows)), np.zeros(array.shape[-1])) / count)
    constant = std <= ROUNDING * np.abs(mean)
    return Standardisation(mean, np.where(constant, 1.0, std)), np.flatnonzero(constant)


def _digest(array: np.ndarray, rows: np.ndarray) -> str:
    """Return a SHA-256 of the values, whatever type and format they have in a file."""
    digest = hashlib.sha256(f"{(len(rows), *array.shape[1:])}".encode())
    for _, chunk in _chunks(array, rows):
        digest.update(np.ascontiguousarray(chunk, "<f8").tobytes())
    return digest.hexdigest()


def _labels(part: Part) -> np.ndarray:
    """Return the labels, float32 [n, 1]. Raises BadInput unless there is a finite one for each example."""
    labels = np.asarray(part.labels)
    if labels.shape != (len(part.array),) or not np.all(np.isfinite(labels)):
        raise BadInput(
            f"{part.where}: got labels of shape {labels.shape}, expected a finite one for each of {len(part.array)} examples"
        )
    return labels.astype(np.float32)[:, None]


def _notes(parts: dict[str, Part], labelled: bool) -> list[str]:
    types = sorted({str(part.array.dtype) for part in parts.values()} - {"float32"})
    notes = [f"{', '.join(types)} is converted to float32"] if types else []
    if not labelled and any(part.labels is not None for part in parts.values()):
        notes.append("labels are left out: not every split has them")
    return [shown(note) for note in notes]
