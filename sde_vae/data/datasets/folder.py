"""The user's own images: a folder or a .zip of picture files.

Pictures are found at any depth and sorted by name. If they lie in folders train/, valid/ and test/, these are the splits.
Otherwise a tenth of the pictures each is held out for valid and test, always the same; with fewer than ten pictures none is. The
folders below the splits, or at the top, are classes: the attribute `label`. An `attributes.csv` holds further attributes.
"""

from pathlib import Path

import numpy as np

from sde_vae.data.cache.record_cache import Cache, Picture, cached
from sde_vae.data.dataset import DataOptions, Dataset, Split, make_splits
from sde_vae.data.datasets.attributes_csv import Table, parse
from sde_vae.data.datasets.picture_folders import NO_SPLIT, SPLITS, Folders, read_folders, top_of
from sde_vae.data.io.archive import Files, fingerprint, open_files
from sde_vae.data.io.changes import change_notes
from sde_vae.data.io.decode import Unfit, pictures, preparation
from sde_vae.data.io.formats import EXPECTED, is_picture, left_out, shown
from sde_vae.data.io.records import Subset
from sde_vae.errors import BadInput

CSV = "attributes.csv"
LABEL = "label"


def folder(options: DataOptions) -> Dataset:
    """Return the data set of a folder or a .zip. The attributes are float32.

    Raises BadInput, which names the file, for a bad file. With options.skip_corrupt bad pictures are left out and listed. What is left
    out or converted otherwise is in the notes.
    """
    path = require_path(options.dir, "a folder or a .zip of picture files")
    with open_files(path, options.follow_links) as files:
        whole = picture_names(files, "config.data.dir")
        top = top_of(whole)
        names = [n.removeprefix(top) for n in whole]
        folders = read_folders(names, f"{path}/{top}".rstrip("/"))
        table, used = _attributes(files, top, whole)
        columns, values = _all_attributes(table, folders)
        # Only the cache knows which pictures are good. It therefore holds their splits too, as a further column.
        rows = np.concatenate([folders.splits[:, None], values], axis=1)
        digest = fingerprint(path, options.follow_links)
        cache = cached(
            options.cache,
            {"name": shown(path.stem), "path": str(path.resolve()), "files": digest, **preparation(options)},
            len(names),
            lambda: pictures(
                [f"{path}/{n}" for n in whole], lambda i: files.read(whole[i]), options, rows, options.fit == "none"
            ),
        )
        others = left_out((n for n in files.names if not is_picture(n) and n != used), files.ignored)
    name = shown(path.name)
    words = table.words if LABEL in table.names else table.words | {LABEL: folders.classes}
    return Dataset(
        name,
        splits_of(cache, mixed=folders.labels is not None),
        attributes=columns,
        skipped=cache.skipped,
        notes=(
            *([f"{name}: left out: {others}"] if others else []),
            *change_notes(name, cache.changes, len(names)),
            *([f"{name}: {folders.note}"] if folders.note else []),
            *_attribute_notes(name, columns, words),
        ),
        values={column: tuple(map(shown, words[column])) for column in columns if column in words},
    )


def read_pictures(path: Path, options: DataOptions) -> tuple[list[str], np.ndarray]:
    """Return (names, uint8 images [n, H, W, C]) of all pictures below a folder or in a zip, sorted by name.

    The images are prepared as in `options`; the sizes of the files may differ. Raises BadInput, which names the file,
    for a file that cannot be read. With options.skip_corrupt such files are left out. What was left out or converted is printed.
    """
    with open_files(path, options.follow_links) as files:
        names = picture_names(files, "--input")
        others = left_out((n for n in files.names if not is_picture(n)), files.ignored)
        try:
            found = list(pictures([f"{path}/{n}" for n in names], lambda i: files.read(names[i]), options, alike=False))
        except Unfit as error:
            raise BadInput(
                f"--input: {error} (config.data.channels and crop of a trained run cannot be changed)"
            ) from error
    kept = [(name, item) for name, item in zip(names, found, strict=True) if isinstance(item, Picture)]
    where = shown(path)
    if others:
        print(f"note: {where}: left out: {others}")
    if len(kept) < len(names):
        print(f"note: {where}: left out: {len(names) - len(kept)} corrupt pictures (config.data.skip_corrupt)")
    kinds = [kind for _, item in kept for kind in item.changes]
    for line in change_notes(where, {kind: kinds.count(kind) for kind in kinds}, len(names)):
        print(f"note: {line}")
    return [name for name, _ in kept], np.stack([item.image for _, item in kept])


def picture_names(files: Files, field: str) -> list[str]:
    """Return the names of the pictures of a source. Raises BadInput, which says what there is instead, if there is none."""
    names = [name for name in files.names if is_picture(name)]
    if not names:
        others = left_out(files.names, files.ignored) or "no files at all"
        raise BadInput(f"{field}: {shown(files.where)} has no picture in {EXPECTED}; it has {others}")
    return names


def require_path(path: Path | None, expected: str) -> Path:
    """Return config.data.dir. Raises BadInput, with what is `expected` there, if it is not given or does not exist."""
    if path is None:
        raise BadInput(f"config.data.dir: not given; expected {expected}")
    if not path.exists():
        raise BadInput(f"config.data.dir: {shown(path)} does not exist; expected {expected}")
    return path


def split_by_number(cache: Cache, names: tuple[str, ...]) -> dict[str, Split]:
    """Return the splits of a cache whose first column of attributes holds their numbers. Empty splits are left out."""
    numbers = _table(cache)[:, 0]
    parts = {name: np.flatnonzero(numbers == i) for i, name in enumerate(names)}
    return {name: _split(cache, index) for name, index in parts.items() if len(index)}


def splits_of(cache: Cache, mixed: bool) -> dict[str, Split]:
    """Return the splits of a cache whose first column of attributes has their numbers, or NO_SPLIT. With `mixed`, valid and test are shuffled: the first of them, which are evaluated, would be of one class."""
    if _table(cache)[0, 0] != NO_SPLIT:
        parts = {name: np.flatnonzero(_table(cache)[:, 0] == i) for i, name in enumerate(SPLITS)}
        if mixed:
            parts |= {name: np.random.default_rng(0).permutation(parts[name]) for name in ("valid", "test")}
        return {name: _split(cache, index) for name, index in parts.items() if len(index)}
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


def _all_attributes(table: Table, folders: Folders) -> tuple[tuple[str, ...], np.ndarray]:
    """Return (names of the attributes, their values [n, columns]): the classes of the folders first, then those of the table.

    A column `label` of the table replaces the folders' classes.
    """
    if folders.labels is None or LABEL in table.names:
        return table.names, table.values
    return (LABEL, *table.names), np.concatenate([folders.labels[:, None], table.values], axis=1)


def _attributes(files: Files, top: str, names: list[str]) -> tuple[Table, str | None]:
    """Return (the attributes of the pictures, the name of their file), with no columns and None if there is no attributes.csv.

    It lies in the folder that holds all pictures, or above it. Its names are relative to either.
    """
    parts = top.split("/")[:-1]
    for depth in range(len(parts), -1, -1):
        place = "".join(f"{part}/" for part in parts[:depth])
        if place + CSV in files.names:
            data, where = files.read(place + CSV), shown(f"{files.where}/{place}{CSV}")
            try:
                return parse(data, where, [n.removeprefix(place) for n in names]), place + CSV
            except BadInput:
                if place == top:
                    raise
            return parse(data, where, [n.removeprefix(top) for n in names]), place + CSV
    return Table((), np.zeros((len(names), 0), np.float32), {}), None


def _attribute_notes(name: str, columns: tuple[str, ...], words: dict[str, tuple[str, ...]]) -> list[str]:
    """A line for each attribute of words: how many there are, and the first."""
    listed = {
        c: ", ".join(map(shown, words[c][:5])) + (", ..." if len(words[c]) > 5 else "") for c in columns if c in words
    }
    return [
        f"{name}: the attribute {column} has {len(words[column])} values: {text}" for column, text in listed.items()
    ]
