"""Find CelebA's files where people have them.

Kaggle's download has .csv tables, and the pictures one folder deeper than expected (img_align_celeba/img_align_celeba/). The authors'
Drive has the folders Img/, Anno/ and Eval/. Either may lie in one more folder. Names are compared without regard to case.
"""

import os
from pathlib import Path
from typing import NamedTuple

from sde_vae.errors import BadInput

PICTURES, ATTRIBUTES, PARTITION = "img_align_celeba", "list_attr_celeba", "list_eval_partition"
# Each in the order of preference, if several lie in one folder.
WANTED = {
    "pictures": (f"{PICTURES}.zip", PICTURES, f"{PICTURES}_png"),
    "attributes": (f"{ATTRIBUTES}.txt", f"{ATTRIBUTES}.csv"),
    "partition": (f"{PARTITION}.txt", f"{PARTITION}.csv"),
}
DEPTH = 2  # folders below config.data.dir that are searched
SHOWN = 6  # folders that a message names


class CelebAFiles(NamedTuple):
    """Where the pictures (a folder or a .zip) and the two tables are."""

    pictures: Path
    attributes: Path
    partition: Path


def expected() -> str:
    """Return, for messages, what config.data.dir must hold."""
    return f"a folder with {PICTURES}.zip or {PICTURES}/, {ATTRIBUTES}.txt or .csv, and {PARTITION}.txt or .csv"


def find(root: Path) -> CelebAFiles:
    """Return the files in `root`, or up to two folders below it; the nearest are taken.

    Raises BadInput that names what is missing and the folders searched, or what is there twice.
    """
    if not root.is_dir():
        raise BadInput(f"config.data.dir: {root} is a file; expected {expected()}")
    levels = _levels(root)
    found = {what: _nearest(levels, names) for what, names in WANTED.items()}
    if missing := [" or ".join(names[:2]) for what, names in WANTED.items() if found[what] is None]:
        searched = [str(folder) for level in levels for folder in level]
        more = f" and {len(searched) - SHOWN} more" if len(searched) > SHOWN else ""
        raise BadInput(
            f"config.data.dir: {root} has no {', no '.join(missing)} (searched: {', '.join(searched[:SHOWN])}{more}); "
            f"expected {expected()}"
        )
    return CelebAFiles(**{what: path for what, path in found.items() if path is not None})


def _levels(root: Path) -> list[dict[Path, dict[str, list[Path]]]]:
    """Return, for each depth, folder -> name in lower case -> paths. Folders of pictures and hidden ones are not entered."""
    levels, folders = [], [root]
    for _ in range(DEPTH + 1):
        level = {folder: _entries(folder) for folder in folders}
        levels.append(level)
        folders = [
            path
            for entries in level.values()
            for name, paths in entries.items()
            for path in paths
            if name not in WANTED["pictures"] and path.is_dir()
        ]
    return levels


def _entries(folder: Path) -> dict[str, list[Path]]:
    """Return name in lower case -> paths, sorted, of what may matter: folders, and files with a wanted name."""
    wanted = {name for names in WANTED.values() for name in names}
    entries: dict[str, list[Path]] = {}
    try:
        with os.scandir(folder) as scan:
            for entry in scan:
                name = entry.name.casefold()
                if not name.startswith((".", "__macosx")) and (name in wanted or entry.is_dir()):
                    entries.setdefault(name, []).append(folder / entry.name)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be read ({error.strerror})") from None
    return {name: sorted(entries[name]) for name in sorted(entries)}


def _nearest(levels: list[dict[Path, dict[str, list[Path]]]], names: tuple[str, ...]) -> Path | None:
    """Return the path of one of `names` at the first depth that has any. Raises BadInput if several folders there have one."""
    for level in levels:
        # The first of the names that a folder has; a folder with two spellings of it has it twice.
        choices = [
            next(entries[name] for name in names if name in entries)
            for entries in level.values()
            if any(name in entries for name in names)
        ]
        paths = [path for paths in choices for path in paths]
        if len(paths) > 1:
            raise BadInput(
                f"config.data.dir: {paths[0]} and {paths[1]} are both {names[0]}; give a folder with one of them, or remove one"
            )
        if paths:
            return paths[0]
    return None
