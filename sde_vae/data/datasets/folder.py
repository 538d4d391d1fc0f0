"""The user's own images: a folder or a .zip of PNG and JPEG files.

Pictures are found at any depth and sorted by name. If there is a folder train/ at the top, the splits are train/, valid/ and
test/. Otherwise a tenth of the pictures each is held out for valid and test, always the same; with fewer than ten pictures none
is. If all files lie in one folder of another name, that folder is the top. Folders that look like splits, without a train/, are
refused, because their pictures would be mixed. An `attributes.csv` at the top holds numbers for every picture.
"""

from pathlib import Path

import numpy as np

from sde_vae.data.cache.record_cache import Cache, Picture, cached
from sde_vae.data.dataset import DataOptions, Dataset, Split, make_splits
from sde_vae.data.datasets.attributes_csv import parse
from sde_vae.data.io.archive import Files, fingerprint, open_files
from sde_vae.data.io.decode import Unfit, pictures, preparation
from sde_vae.data.io.records import Subset
from sde_vae.errors import BadInput

ENDINGS = (".png", ".jpg", ".jpeg")
SPLITS = ("train", "valid", "test")
LIKE_SPLITS = ("train", "training", "valid", "validation", "val", "test")  # in upper or lower case
NO_SPLIT = -1  # instead of a split's number
CSV = "attributes.csv"


def folder(options: DataOptions) -> Dataset:
    """Return the data set of a folder or a .zip. The attributes are float32.

    Raises BadInput, which names the file, for a bad file. With options.skip_corrupt bad pictures are left out and listed.
    """
    path = require_path(options.dir, "a folder or a .zip of PNG or JPEG files")
    with open_files(path) as files:
        top = _top(files.names)
        names = [n.removeprefix(top) for n in files.names if n.startswith(top) and n.lower().endswith(ENDINGS)]
        if not names:
            raise BadInput(f"config.data.dir: {path} has no {', '.join(ENDINGS)} file")
        columns, table = _attributes(files, top, names)
        # Only the cache knows which pictures are good. It therefore holds their splits too, as a further column.
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

    The images are cropped and resized as in `options`; the sizes of the files may differ. Raises BadInput, which names the file,
    for a file that cannot be read. With options.skip_corrupt such files are left out, and their number is printed.
    """
    with open_files(path) as files:
        names = [name for name in files.names if name.lower().endswith(ENDINGS)]
        other = len(files.names) - len(names)
        if not names:
            raise BadInput(f"--input: {path} has no {', '.join(ENDINGS)} file")
        try:
            found = list(pictures([f"{path}/{n}" for n in names], lambda i: files.read(names[i]), options, alike=False))
        except Unfit as error:
            raise BadInput(
                f"--input: {error} (of this trained run that cannot be changed: convert the pictures)"
            ) from error
    kept = [(name, item.image) for name, item in zip(names, found, strict=True) if isinstance(item, Picture)]
    for count, why in ((other, f"with other endings than {', '.join(ENDINGS)}"), (len(names) - len(kept), "corrupt")):
        if count:
            print(f"{path}: {count} files left out, {why}")
    return [name for name, _ in kept], np.stack([image for _, image in kept])


def require_path(path: Path | None, expected: str) -> Path:
    """Return config.data.dir. Raises BadInput, with what is `expected` there, if it is not given or does not exist."""
    if path is None:
        raise BadInput(f"config.data.dir: not given; expected {expected}")
    if not path.exists():
        raise BadInput(f"config.data.dir: {path} does not exist; expected {expected}")
    return path


def split_by_number(cache: Cache, names: tuple[str, ...]) -> dict[str, Split]:
    """Return the splits of a cache whose first column of attributes holds their numbers. Empty splits are left out."""
    numbers = _table(cache)[:, 0]
    parts = {name: np.flatnonzero(numbers == i) for i, name in enumerate(names)}
    return {name: _split(cache, index) for name, index in parts.items() if len(index)}


def _splits(cache: Cache) -> dict[str, Split]:
    if _table(cache)[0, 0] != NO_SPLIT:
        return split_by_number(cache, SPLITS)
    n = len(cache.images)
    if n < 10:
        return {"train": _split(cache, np.arange(n))}
    # The places of the images are split instead of the images themselves.
    places = make_splits(np.arange(n), None, n // 10, n // 10)
    return {name: _split(cache, np.asarray(part.images)) for name, part in places.items()}


def _table(cache: Cache) -> np.ndarray:
    """Return the attributes of a cache that was built with some."""
    if cache.attributes is None:
        raise TypeError("the cache has no attributes")
    return cache.attributes


def _split(cache: Cache, index: np.ndarray) -> Split:
    attributes = _table(cache)[index, 1:]
    return Split(Subset(cache.images, index), attributes if attributes.size else None)


def _top(names: tuple[str, ...]) -> str:
    """Return the one folder that holds all files, with its "/", or ""."""
    first, slash, _ = names[0].partition("/") if names else ("", "", "")
    alone = slash and first not in SPLITS and all(n.startswith(f"{first}/") for n in names)
    return f"{first}/" if alone else ""


def _split_numbers(names: list[str], path: Path, top: str) -> np.ndarray:
    """Return the number of each picture's split, or NO_SPLIT: float32 [n]."""
    tops = [n.partition("/")[0] for n in names]
    if "train" not in tops:
        for folder in (top, *(f"{top}{t}/" for t in sorted(set(tops)))):
            if folder.rstrip("/").rpartition("/")[2].casefold() in LIKE_SPLITS:
                expected = ", ".join(f"{s}/" for s in SPLITS)
                raise BadInput(
                    f"config.data.dir: {path} has {folder}, which looks like a split, but no train/: expected {expected}; "
                    "rename it"
                )
        return np.full(len(names), NO_SPLIT, np.float32)
    for name, top in zip(names, tops, strict=True):
        if top not in SPLITS:
            raise BadInput(f"{path}/{name}: outside of {', '.join(f'{s}/' for s in SPLITS)}, while there is a train/")
    return np.array([SPLITS.index(top) for top in tops], np.float32)


def _attributes(files: Files, top: str, names: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return (names of the attributes, their table [n, columns]), with no columns if there is no attributes.csv."""
    if top + CSV not in files.names:
        return (), np.zeros((len(names), 0), np.float32)
    return parse(files.read(top + CSV), f"{files.where}/{top}{CSV}", names)
