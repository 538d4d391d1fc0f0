"""Decode CIFAR-10's batches: Python 2 pickles, or records of a fixed size. No pickle is run.

Python     data_batch_1 ... data_batch_5 and test_batch: a dict with data, uint8 [n, 3072], and labels, n numbers; a row of data has the
           1,024 red values of the picture, then the green and the blue ones; batches.meta: the names of the ten classes
binary     the same names with .bin: n records of a label and 3,072 such values; batches.meta.txt: a name a line
"""

import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from sde_vae.errors import BadInput
from sde_vae.pretrained import numpy_files
from sde_vae.pretrained.stand_ins import Refused

SIDE, CHANNELS, CLASSES = 32, 3, 10
PIXELS = CHANNELS * SIDE * SIDE
TRAIN, TEST = tuple(f"data_batch_{i}" for i in range(1, 6)), "test_batch"
SHOWN = 200  # characters of another reader's message


class Batch(NamedTuple):
    """uint8 images [n, 32, 32, 3] and labels int64 [n]."""

    images: np.ndarray
    labels: np.ndarray


class Version(NamedTuple):
    """A form of the data set.

    ending          of the batches' names
    meta            name of the file with the names of the classes
    read            (where, bytes) -> a batch; raises BadInput
    read_classes    (where, bytes) -> (names of the classes, images a batch or None); raises BadInput
    """

    ending: str
    meta: str
    read: Callable[[str, bytes], Batch]
    read_classes: Callable[[str, bytes], tuple[list[Any], int | None]]

    @property
    def batches(self) -> tuple[str, ...]:
        """The names of the files with images."""
        return tuple(f"{name}{self.ending}" for name in (*TRAIN, TEST))


def _python(where: str, data: bytes) -> Batch:
    tree = _tree(where, data)
    try:
        pixels = tree["data"].array if isinstance(tree.get("data"), numpy_files.NumpyArray) else None
        labels = tree.get("labels")
        labels = labels.array.tolist() if isinstance(labels, numpy_files.NumpyArray) else labels
    except (Refused, TypeError, ValueError) as error:
        raise BadInput(f"{where}: refused: {_clean(error)}") from None
    if pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        got = "none" if pixels is None else f"{pixels.dtype} {list(pixels.shape)[:4]}"
        raise BadInput(f"{where}: its data must be uint8 [n, {PIXELS}], got {got}; get it anew")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise BadInput(f"{where}: its labels must be a list of whole numbers; get it anew")
    for other in ("labels", "filenames"):
        if isinstance(tree.get(other), list) and len(tree[other]) != len(pixels):
            raise BadInput(f"{where}: has {len(pixels)} images and {len(tree[other])} {other}; get it anew")
    return _batch(where, pixels, labels)


def _binary(where: str, data: bytes) -> Batch:
    if len(data) % (PIXELS + 1):
        raise BadInput(f"{where}: has {len(data)} bytes, not a multiple of {PIXELS + 1}: truncated; get it anew")
    records = np.frombuffer(data, np.uint8).reshape(-1, PIXELS + 1)
    return _batch(where, records[:, 1:], records[:, 0].tolist())


def _batch(where: str, pixels: np.ndarray, labels: list[int]) -> Batch:
    if not len(pixels):
        raise BadInput(f"{where}: has no images; get it anew")
    if not all(0 <= label < CLASSES for label in labels):
        raise BadInput(f"{where}: has a label outside 0 .. {CLASSES - 1}; get it anew")
    images = pixels.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
    return Batch(np.ascontiguousarray(images), np.array(labels, np.int64))


def _python_classes(where: str, data: bytes) -> tuple[list[Any], int | None]:
    tree = _tree(where, data)
    names, count = tree.get("label_names"), tree.get("num_cases_per_batch")
    return names if isinstance(names, list) else [], count if type(count) is int else None


def _binary_classes(where: str, data: bytes) -> tuple[list[Any], int | None]:
    return data.decode("latin1").split(), None


def _tree(where: str, data: bytes) -> dict[str, Any]:
    """Return the dict of a pickle, whose keys may be text or bytes."""
    try:
        tree = numpy_files.read(io.BytesIO(data))
    except Refused as error:
        raise BadInput(f"{where}: refused: {_clean(error)}") from None
    except Exception as error:  # a corrupt pickle may raise anything at all
        raise BadInput(
            f"{where}: damaged or not a pickle ({type(error).__name__}: {_clean(error)}); get it anew"
        ) from None
    if not isinstance(tree, dict):
        raise BadInput(f"{where}: holds one {type(tree).__name__}, expected a dict; get it anew")
    return {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in tree.items()}


def _clean(error: Exception) -> str:
    """Return an error's message, in one line that is not long, without control characters of the file's."""
    return "".join(c if c.isprintable() else "?" for c in str(error)[:SHOWN])


PYTHON = Version("", "batches.meta", _python, _python_classes)
BINARY = Version(".bin", "batches.meta.txt", _binary, _binary_classes)


def read_batches(where: str, version: Version, files: Mapping[str, bytes]) -> tuple[Batch, Batch]:
    """Return (train, test), the training batches in their order.

    `files` has name -> bytes. Raises BadInput, which names the file, for one that is missing or damaged. Prints how many images there
    are, if they are fewer than the set's own file declares.
    """
    if missing := [name for name in version.batches if name not in files]:
        raise BadInput(f"{where}: has no {', '.join(missing)}; get it anew")
    batches = [version.read(f"{where}: {name}", files[name]) for name in version.batches]
    if version.meta in files:
        names, count = version.read_classes(f"{where}: {version.meta}", files[version.meta])
        if len(names) != CLASSES or len(set(map(repr, names))) != CLASSES:
            raise BadInput(f"{where}: {version.meta} must have {CLASSES} different names of classes; get it anew")
        found = sum(len(batch.labels) for batch in batches)
        if count is not None and found != count * len(batches):
            print(f"{where}: has {found} of the {count * len(batches)} images that {version.meta} declares")
    *train, test = batches
    return Batch(*(np.concatenate(parts) for parts in zip(*train, strict=True))), test
