"""CelebA, aligned and cropped (Liu et al. 2015, arXiv:1411.7766), from the files of its authors.

config.data.dir holds three files:

    img_align_celeba.zip       or its content img_align_celeba/, 202,599 JPEG files of 178x218
    list_attr_celeba.txt       the number of pictures, 40 names, then a line of -1 or 1 for each picture
    list_eval_partition.txt    a line for each picture: 0 for train, 1 for valid, 2 for test

The centre crop is config.data.crop, or 140 if that is 0.
"""

from pathlib import Path

import numpy as np

from sde_vae.data.cache.record_cache import cached
from sde_vae.data.dataset import DataOptions, Dataset
from sde_vae.data.datasets.folder import require_path, split_by_number
from sde_vae.data.io.archive import Files, fingerprint, open_files
from sde_vae.data.io.decode import pictures, preparation
from sde_vae.errors import BadInput

CROP = 140
PICTURES, ATTRIBUTES, PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
COLUMNS = 40
SPLITS = ("train", "valid", "test")


def celeba(options: DataOptions) -> Dataset:
    """Return the official splits, with attributes int8 [n, 40] in {0, 1}. Raises BadInput, with file and line, for bad files."""
    root = require_path(options.dir, f"a folder with {PICTURES}.zip or {PICTURES}/, {ATTRIBUTES} and {PARTITION}")
    options = options._replace(crop=options.crop or CROP)
    columns, signs = _attributes(root / ATTRIBUTES)
    numbers = _partition(root / PARTITION)
    _require_same_names(root / PARTITION, numbers, root / ATTRIBUTES, signs)
    names = sorted(signs)
    source = next((p for p in (root / f"{PICTURES}.zip", root / PICTURES) if p.exists()), None)
    if source is None:
        raise BadInput(f"config.data.dir: {root} has neither {PICTURES}.zip nor {PICTURES}/")
    with open_files(source) as files:
        prefix = _prefix(files)
        _require_same_names(
            source, {n.removeprefix(prefix) for n in files.names if n.endswith(".jpg")}, root / ATTRIBUTES, signs
        )
        # The first column is the split, for `split_by_number`; then the attributes, converted from -1 and 1 to 0 and 1.
        rows = np.stack([np.append(numbers[n], signs[n] > 0) for n in names]).astype(np.int8)
        parts = {p.name: fingerprint(p) for p in (source, root / ATTRIBUTES, root / PARTITION)}
        cache = cached(
            options.cache,
            {"name": "celeba", "path": str(root.resolve()), "files": parts, **preparation(options)},
            len(names),
            lambda: pictures([f"{source}/{n}" for n in names], lambda i: files.read(prefix + names[i]), options, rows),
        )
    return Dataset("celeba", split_by_number(cache, SPLITS), attributes=columns, skipped=cache.skipped)


def _prefix(files: Files) -> str:
    """Return the prefix of the files' names: the zip holds a folder, while the folder holds the files themselves."""
    return f"{PICTURES}/" if any(n.startswith(f"{PICTURES}/") for n in files.names) else ""


def _attributes(path: Path) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Return (names of the attributes, file name -> int8 [40] of -1 and 1)."""
    lines = _lines(path)
    if len(lines) < 2 or len(lines[0]) != 1 or lines[0][0] != str(len(lines) - 2):
        raise BadInput(
            f"{path}: line 1 must be the number of pictures, {max(len(lines) - 2, 0)}, got {' '.join(lines[0])!r}"
        )
    if len(set(lines[1])) != COLUMNS or len(lines[1]) != COLUMNS:
        raise BadInput(f"{path}: line 2 must have {COLUMNS} different names, got {len(lines[1])}")
    signs: dict[str, np.ndarray] = {}
    for number, (name, *cells) in enumerate(lines[2:], 3):
        if len(cells) != COLUMNS or not {"-1", "1"}.issuperset(cells):
            raise BadInput(f"{path}: line {number}: expected a file name and {COLUMNS} times -1 or 1")
        _require_new(path, number, name, signs)
        signs[name] = np.array(cells, np.int8)
    return tuple(lines[1]), signs


def _partition(path: Path) -> dict[str, int]:
    """Return file name -> number of its split."""
    numbers: dict[str, int] = {}
    for number, line in enumerate(_lines(path), 1):
        if len(line) != 2 or line[1] not in ("0", "1", "2"):
            raise BadInput(f"{path}: line {number}: expected a file name and 0, 1 or 2, got {' '.join(line)!r}")
        _require_new(path, number, line[0], numbers)
        numbers[line[0]] = int(line[1])
    return numbers


def _require_new(path: Path, number: int, name: str, known: dict) -> None:
    if name in known:
        raise BadInput(f"{path}: line {number}: a second line for {name}")


def _lines(path: Path) -> list[list[str]]:
    """Return the words of each line. Raises BadInput for an empty line that is not at the end."""
    try:
        lines = [line.split() for line in path.read_text("utf-8").rstrip().split("\n")]
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}: is not text") from None
    if [] in lines:
        raise BadInput(f"{path}: line {lines.index([]) + 1} is empty")
    return lines


def _require_same_names(path: Path, names: dict | set, other: Path, known: dict) -> None:
    """Raise BadInput unless both files name the same pictures."""
    for a, b, x, y in ((path, other, names, known), (other, path, known, names)):
        if only := sorted(set(x) - set(y)):
            raise BadInput(f"{a}: has {only[0]}, which {b} has not ({len(only)} such)")
