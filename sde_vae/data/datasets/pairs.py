"""Pairs of pictures (x, y), such as photographs and their drawings: a folder or a .zip.

A/ and B/ hold y and x under equal names, and the folders of splits lie in them or around them. Without A/ and B/ each file holds both side
by side, A on the left, as pix2pix stores them (arXiv:1611.07004). An image is uint8 [H, W, C + k]: the channels of x, then those of y.
"""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from sde_vae.data.cache.record_cache import cached
from sde_vae.data.dataset import DataOptions, Dataset
from sde_vae.data.datasets.folder import picture_names, require_path, splits_of
from sde_vae.data.datasets.picture_folders import SPELLINGS, read_folders, top_of
from sde_vae.data.io.archive import fingerprint, open_files
from sde_vae.data.io.changes import change_notes
from sde_vae.data.io.decode import Decoded, in_order, in_turn, preparation, prepared
from sde_vae.data.io.fit import Unfit, kind_of
from sde_vae.data.io.formats import is_picture, left_out, shown
from sde_vae.data.io.open_picture import Opened, load, open_header
from sde_vae.data.io.turns import Turns
from sde_vae.errors import BadInput

SIDES = ("a", "b")  # in upper or lower case


class Pair(NamedTuple):
    """The files of A and B, which are one if it holds both; `name` is what they have in common, with the folders of splits."""

    name: str
    a: str
    b: str


def pairs(options: DataOptions) -> Dataset:
    """Return the data set. x is B, or A with options.swap; y has options.y_channels.

    Raises BadInput, which names the file, for a picture without a partner, two of one pair whose sizes differ, a file of both with an odd
    width, and a bad file. With options.skip_corrupt a pair with a bad file is left out, and listed.
    """
    path = require_path(
        options.dir, "a folder or a .zip of pairs of pictures: A/ and B/, or files that hold both side by side"
    )
    with open_files(path, options.follow_links) as files:
        whole = picture_names(files, "config.data.dir")
        top = top_of(whole, (*SPELLINGS, *SIDES))
        where = f"{path}/{top}".rstrip("/")
        found, beside = find_pairs([name.removeprefix(top) for name in whole], where)
        splits = read_folders([pair.name for pair in found], where).splits
        read = lambda name: (files.read(top + name), shown(f"{where}/{name}"))
        key = {"name": shown(path.stem), "path": str(path.resolve()), "pairs": beside, "swap": options.swap}
        cache = cached(
            options.cache,
            {
                **key,
                "y_channels": options.y_channels,
                "files": fingerprint(path, options.follow_links),
                **preparation(options),
            },
            len(found),
            lambda: in_order(
                [f"{where}/{pair.a}" for pair in found],
                lambda i, turns: decode_pair(found[i], read, options, turns),
                options,
                splits[:, None],
                options.fit == "none",
            ),
        )
        others = left_out((n for n in files.names if not is_picture(n)), files.ignored)
    name, (x, y) = shown(path.name), ("A", "B") if options.swap else ("B", "A")
    layout = "files with A on the left and B on the right" if beside else "files of equal names in A/ and B/"
    left = f"{len(cache.skipped)} of {len(found)} pairs with a corrupt picture (config.data.skip_corrupt)"
    return Dataset(
        name,
        splits_of(cache, mixed=False),
        skipped=cache.skipped,
        notes=(
            f"{name}: {layout}: x is {x}, y is {y}",
            *([f"{name}: left out: {left}"] if cache.skipped else []),
            *([f"{name}: left out: {others}"] if others else []),
            *change_notes(name, cache.changes, 2 * len(found)),
        ),
    )


def find_pairs(names: list[str], where: str) -> tuple[list[Pair], bool]:
    """Return (the pairs, sorted; whether each is one file) of pictures below the folder `where`.

    >>> find_pairs(["A/train/1.png", "B/train/1.jpg"], "mine")
    ([Pair(name='train/1', a='A/train/1.png', b='B/train/1.jpg')], False)
    """
    level = _level_of_sides(names)
    if level is None:
        return [Pair(name, name, name) for name in names], True
    sides: dict[str, dict[str, str]] = {side: {} for side in SIDES}
    for name in names:
        parts = name.split("/")
        side = parts[level].casefold() if len(parts) > level + 1 else ""
        if side not in SIDES:
            raise BadInput(
                f"config.data.dir: {shown(f'{where}/{name}')} lies in neither of the folders A and B, as other pictures do; move it there, or "
                "remove it"
            )
        rest = "/".join((*parts[:level], *parts[level + 1 :]))
        stem = PurePosixPath(rest).with_suffix("").as_posix()
        if (other := sides[side].setdefault(stem, name)) != name:
            raise BadInput(
                f"config.data.dir: {shown(where)} has {shown(other)} and {shown(name)}, two of one name; remove one"
            )
    a, b = sides.values()
    for own, others, folder in ((a, b, "B"), (b, a, "A")):
        if alone := sorted(own.keys() - others.keys()):
            raise BadInput(
                f"config.data.dir: {shown(f'{where}/{own[alone[0]]}')} has no partner of its name in {folder}/ ({len(alone)} such pictures); "
                "add it, or remove the picture"
            )
    return [Pair(stem, a[stem], b[stem]) for stem in sorted(a)], False


def _level_of_sides(names: list[str]) -> int | None:
    """The depth at which folders A and B lie: 0, or 1 below the folders of splits; None if there are none."""
    folders = [name.casefold().split("/")[:-1] for name in names]
    if any(f[:1] and f[0] in SIDES for f in folders):
        return 0
    return 1 if any(len(f) > 1 and f[0] in SPELLINGS and f[1] in SIDES for f in folders) else None


def decode_pair(
    pair: Pair, read: Callable[[str], tuple[bytes, str]], options: DataOptions, turns: Turns | None = None
) -> Decoded:
    """Decode a pair and prepare both pictures alike: [H, W, C + k]. read(name) returns a file's bytes, and its name for messages."""
    files = [read(name) for name in dict.fromkeys((pair.a, pair.b))]
    headers, (name_a, name_b) = [open_header(*file) for file in files], (files[0][1], files[-1][1])

    def work() -> Decoded:
        opened = [load(header, name) for header, (_, name) in zip(headers, files, strict=True)]
        a, b = opened if len(opened) == 2 else _halves(opened[0], name_a)
        if (of_one := kind_of(a.picture)) != kind_of(b.picture):
            raise Unfit(f"{name_a}: is {of_one}, but {name_b} is {kind_of(b.picture)}: a pair has one size", of_one)
        first, second = (a, name_a), (b, name_b)
        x, y = (first, second) if options.swap else (second, first)
        image_x = prepared(*x, options)
        image_y = prepared(*y, options._replace(channels=options.y_channels), "config.task.y_channels")
        both = np.concatenate([image_x.image, image_y.image], axis=-1)
        return Decoded(both, of_one, image_x.changes + image_y.changes)

    return in_turn(work, turns, *headers)


def _halves(opened: Opened, name: str) -> tuple[Opened, Opened]:
    """The left and the right half of a picture."""
    picture = opened.picture
    if picture.width % 2:
        raise Unfit(
            f"{name}: is {kind_of(picture)}, of odd width; expected A and B side by side, of one size, or folders A/ and B/",
            kind_of(picture),
        )
    half = picture.width // 2
    left = picture.crop((0, 0, half, picture.height))
    right = picture.crop((half, 0, picture.width, picture.height))
    return opened._replace(picture=left), opened._replace(picture=right)
