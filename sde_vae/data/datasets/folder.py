"""A folder or a .zip of PNG and JPEG files, the user's own.

Pictures are found at any depth and sorted by name. The splits are the folders train/, valid/ and test/ at the top, if there is
a train/; otherwise a tenth each is held out for valid and test, always the same (none of fewer than ten pictures). If all lies
in one folder of another name, that one is the top. Folders that look like splits, without a train/, are refused: their pictures
would be mixed. An `attributes.csv` at the top gives every picture its numbers.
"""

from pathlib import Path

import numpy as np

from sde_vae.data.cache.record_cache import Cache, Picture, cached
from sde_vae.data.dataset import DataOptions, Dataset, Split, make_splits
from sde_vae.data.datasets.attributes_csv import parse
from sde_vae.data.io.archive import Files, fingerprint, open_files
from sde_vae.data.io.decode import pictures, preparation
from sde_vae.data.io.records import Subset
from sde_vae.errors import BadInput

ENDINGS = (".png", ".jpg", ".jpeg")
SPLITS = ("train", "valid", "test")
LIKE_SPLITS = ("train", "training", "valid", "validation", "val", "test")  # in whatever case
UNDIVIDED = -1  # in the place of a split's number
CSV = "attributes.csv"


def folder(options: DataOptions) -> Dataset:
    """BadInput, naming the file, for whatever is amiss; with options.skip_corrupt, bad pictures are left out and listed."""
    path = require_path(options.dir, "a folder or a .zip of PNG or JPEG files")
    with open_files(path) as files:
        top = _top(files.names)
        names = [n.removeprefix(top) for n in files.names if n.startswith(top) and n.lower().endswith(ENDINGS)]
        if not names:
            raise BadInput(f"config.data.dir: {path} has no {', '.join(ENDINGS)} file")
        columns, table = _attributes(files, top, names)
        # The cache knows which pictures were good, so it keeps their splits, as one more column.
        rows = np.concatenate([_split_numbers(names, path, top)[:, None], table], axis=1)
        cache = cached(
            options.cache,
            {"name": path.stem, "path": str(path.resolve()), "files": fingerprint(path), **preparation(options)},
            len(names),
            lambda: pictures([f"{path}/{top}{n}" for n in names], lambda i: files.read(top + names[i]), options, rows),
        )
    return Dataset(path.name, _splits(cache), attributes=columns, skipped=cache.skipped)


def read_pictures(path: Path, options: DataOptions) -> tuple[list[str], np.ndarray]:
    """Return (names, uint8 images [n, H, W, C]) of all PNG and JPEG files below a folder or in a zip, sorted by name.

    They are prepared as `options` says; sizes may differ. Raises BadInput, naming the file, for one that cannot be read; with
    options.skip_corrupt such files are left out, and the number of them is printed.
    """
    with open_files(path) as files:
        names = [name for name in files.names if name.lower().endswith(ENDINGS)]
        other = len(files.names) - len(names)
        if not names:
            raise BadInput(f"--input: {path} has no {', '.join(ENDINGS)} file")
        found = list(pictures([f"{path}/{n}" for n in names], lambda i: files.read(names[i]), options, alike=False))
    kept = [(name, item.image) for name, item in zip(names, found, strict=True) if isinstance(item, Picture)]
    for count, why in ((other, f"with other endings than {', '.join(ENDINGS)}"), (len(names) - len(kept), "corrupt")):
        if count:
            print(f"{path}: {count} files left out, {why}")
    return [name for name, _ in kept], np.stack([image for _, image in kept])


def require_path(path: Path | None, expected: str) -> Path:
    """config.data.dir, which must be there."""
    if path is None:
        raise BadInput(f"config.data.dir: not given; expected {expected}")
    if not path.exists():
        raise BadInput(f"config.data.dir: {path} does not exist; expected {expected}")
    return path


def split_by_number(cache: Cache, names: tuple[str, ...]) -> dict[str, Split]:
    """The splits of a cache whose first column of attributes holds their numbers; those without a picture are left out."""
    parts = {name: np.flatnonzero(cache.attributes[:, 0] == i) for i, name in enumerate(names)}
    return {name: _split(cache, index) for name, index in parts.items() if len(index)}


def _splits(cache: Cache) -> dict[str, Split]:
    if cache.attributes[0, 0] != UNDIVIDED:
        return split_by_number(cache, SPLITS)
    n = len(cache.images)
    if n < 10:
        return {"train": _split(cache, np.arange(n))}
    return {
        name: _split(cache, part.images) for name, part in make_splits(np.arange(n), None, n // 10, n // 10).items()
    }


def _split(cache: Cache, index: np.ndarray) -> Split:
    attributes = cache.attributes[index, 1:]
    return Split(Subset(cache.images, index), attributes if attributes.size else None)


def _top(names: tuple[str, ...]) -> str:
    """The one folder that holds everything, with its "/", or ""."""
    first, slash, _ = names[0].partition("/") if names else ("", "", "")
    alone = slash and first not in SPLITS and all(n.startswith(f"{first}/") for n in names)
    return f"{first}/" if alone else ""


def _split_numbers(names: list[str], path: Path, top: str) -> np.ndarray:
    """[n], float32."""
    tops = [n.partition("/")[0] for n in names]
    if "train" not in tops:
        for folder in (top, *(f"{top}{t}/" for t in sorted(set(tops)))):
            if folder.rstrip("/").rpartition("/")[2].casefold() in LIKE_SPLITS:
                expected = ", ".join(f"{s}/" for s in SPLITS)
                raise BadInput(
                    f"config.data.dir: {path} has {folder}, which looks like a split, but no train/: expected {expected}; "
                    "rename it"
                )
        return np.full(len(names), UNDIVIDED, np.float32)
    for name, top in zip(names, tops, strict=True):
        if top not in SPLITS:
            raise BadInput(f"{path}/{name}: outside of {', '.join(f'{s}/' for s in SPLITS)}, while there is a train/")
    return np.array([SPLITS.index(top) for top in tops], np.float32)


def _attributes(files: Files, top: str, names: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the attributes and their table [n, columns]; no columns if there is no file."""
    if top + CSV not in files.names:
        return (), np.zeros((len(names), 0), np.float32)
    return parse(files.read(top + CSV), f"{files.where}/{top}{CSV}", names)
