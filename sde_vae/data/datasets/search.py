"""Find a data set's files where people have them: in the folder that they give, or a little below, in any case of letters."""

import os
from collections.abc import Mapping
from pathlib import Path

from sde_vae.errors import BadInput

DEPTH = 2  # folders below the given one that are searched
SHOWN = 6  # folders that a message names

Level = dict[Path, dict[str, list[Path]]]  # folder -> name in lower case -> paths


def search(root: Path, wanted: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, Path], str]:
    """Return (what -> its path, the folders searched as text for messages), without what is not there.

    `wanted` maps what is wanted to its possible names, in lower case, the preferred ones first. The nearest to `root` is taken. A
    folder with a wanted name is not entered. Raises BadInput if several folders at the same depth have what is wanted.
    """
    names = {name for several in wanted.values() for name in several}
    levels = _levels(root, names)
    found = {what: path for what, several in wanted.items() if (path := _nearest(levels, several)) is not None}
    searched = [str(folder) for level in levels for folder in level]
    more = f" and {len(searched) - SHOWN} more" if len(searched) > SHOWN else ""
    return found, ", ".join(searched[:SHOWN]) + more


def _levels(root: Path, names: set[str]) -> list[Level]:
    """Return the entries of `root`, of the folders in it, and so on."""
    levels, folders = [], [root]
    for _ in range(DEPTH + 1):
        level = {folder: _entries(folder, names) for folder in folders}
        levels.append(level)
        folders = [
            path
            for entries in level.values()
            for name, paths in entries.items()
            for path in paths
            if name not in names and path.is_dir()
        ]
    return levels


def _entries(folder: Path, names: set[str]) -> dict[str, list[Path]]:
    """Return name in lower case -> paths, sorted, of what may matter: folders, and files with a wanted name; no hidden ones."""
    entries: dict[str, list[Path]] = {}
    try:
        with os.scandir(folder) as scan:
            for entry in scan:
                name = entry.name.casefold()
                if not name.startswith((".", "__macosx")) and (name in names or entry.is_dir()):
                    entries.setdefault(name, []).append(folder / entry.name)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be read ({error.strerror})") from None
    return {name: sorted(entries[name]) for name in sorted(entries)}


def _nearest(levels: list[Level], names: tuple[str, ...]) -> Path | None:
    """Return the path of one of `names` at the first depth that has any."""
    for level in levels:
        # The preferred name of each folder. A folder with two spellings of it has it twice.
        paths = [
            path
            for entries in level.values()
            for path in next((entries[name] for name in names if name in entries), [])
        ]
        if len(paths) > 1:
            raise BadInput(
                f"config.data.dir: {paths[0]} and {paths[1]} are the same thing twice; give a folder with one of them, or "
                "remove one"
            )
        if paths:
            return paths[0]
    return None
