"""CelebA, aligned and cropped (Liu et al. 2015, arXiv:1411.7766), from the files of its authors or of Kaggle.

config.data.dir holds 202,599 JPEG files of 178x218 and two tables. The module celeba_files finds them, and celeba_tables reads the
tables. The centre crop is config.data.crop, or 140 if that is 0.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from sde_vae.data.cache.record_cache import cached
from sde_vae.data.dataset import DataOptions, Dataset
from sde_vae.data.datasets.celeba_files import expected, find
from sde_vae.data.datasets.celeba_tables import ENDINGS, SPLITS, picture_key, read_attributes, read_partition
from sde_vae.data.datasets.folder import require_path, split_by_number
from sde_vae.data.io.archive import Files, fingerprint, open_files
from sde_vae.data.io.decode import pictures, preparation
from sde_vae.errors import BadInput

CROP = 140


def celeba(options: DataOptions) -> Dataset:
    """Return the official splits, with attributes int8 [n, 40] in {0, 1}. Raises BadInput, with file and line, for bad files."""
    root = require_path(options.dir, expected())
    options = options._replace(crop=options.crop or CROP)
    found = find(root)
    columns, bits = read_attributes(found.attributes)
    numbers = read_partition(found.partition)
    _require_same_names(found.partition, numbers, found.attributes, bits)
    with open_files(found.pictures) as files:
        names = _by_picture(files)
        _require_same_names(found.pictures, names, found.attributes, bits)
        # Sorted, so that the order depends on the names alone.
        order = sorted(bits)
        # The first column is the split, for `split_by_number`; then the attributes.
        rows = np.stack([np.append(numbers[n], bits[n]) for n in order]).astype(np.int8)
        cache = cached(
            options.cache,
            {
                "name": "celeba",
                "path": str(root.resolve()),
                "files": {p.name: fingerprint(p) for p in found},
                **preparation(options),
            },
            len(order),
            lambda: pictures(
                [f"{found.pictures}/{names[n]}" for n in order], lambda i: files.read(names[order[i]]), options, rows
            ),
        )
    return Dataset("celeba", split_by_number(cache, SPLITS), attributes=columns, skipped=cache.skipped)


def _by_picture(files: Files) -> dict[str, str]:
    """Return picture -> its file's name, at any depth. Raises BadInput for two files of one picture. Prints how many others there are."""
    names: dict[str, str] = {}
    chosen = [name for name in files.names if name.casefold().endswith(ENDINGS)]
    for name in chosen:
        if (key := picture_key(name)) in names:
            raise BadInput(f"{files.where}: has {names[key]!r} and {name!r}, two files of one picture; remove one")
        names[key] = name
    if other := len(files.names) - len(chosen):
        print(f"{files.where}: {other} files left out, with other endings than {', '.join(ENDINGS)}")
    return names


def _require_same_names(path: Path, names: Collection[str], other: Path, known: Collection[str]) -> None:
    """Raise BadInput unless both files name the same pictures."""
    for a, b, x, y in ((path, other, names, known), (other, path, known, names)):
        if only := sorted(set(x) - set(y)):
            raise BadInput(
                f"{a}: has {only[0]!a}, which {b} has not ({len(only)} of {len(set(x))} such); get both files anew"
            )
