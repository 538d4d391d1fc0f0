"""What the folders above pictures say: the split, and the class."""

from collections.abc import Container
from typing import NamedTuple

import numpy as np

from sde_vae.data.io.formats import shown
from sde_vae.errors import BadInput

SPLITS = ("train", "valid", "test")
# Names of folders, in upper or lower case -> the split.
SPELLINGS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
NO_SPLIT = -1  # instead of a split's number
KNOWN = "train/, valid/, test/ (or training/, val/, validation/, dev/, testing/; in upper or lower case)"


class Folders(NamedTuple):
    """What the folders of n pictures say.

    splits    the number of each picture's split, or NO_SPLIT for all: float32 [n]
    labels    the number of each picture's class, or None without classes: float32 [n]
    classes   the names of the classes, sorted
    note      why pictures in folders have no classes, or ""
    """

    splits: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    note: str = ""


def top_of(names: list[str], meaning: Container[str] = SPELLINGS) -> str:
    """Return the folder that holds all pictures, with its "/", or "": below it are the splits, the classes or the pictures.

    Folders with a `meaning`, in lower case, are below it.

    >>> top_of(["mine/photos/cat/a.png", "mine/photos/dog/b.png"])
    'mine/photos/'
    """
    top = ""
    while True:
        first = {n[len(top) :].partition("/")[:2] for n in names}
        ((name, slash),) = first if len(first) == 1 else [("", "")]
        if not slash or name.casefold() in meaning:
            return top
        top += f"{name}/"


def read_folders(names: list[str], where: str) -> Folders:
    """Read the folders of pictures, of which `names` are relative to `top_of`. `where` is the folder above them, for messages.

    A folder for each split is at the top, or below each class. Raises BadInput if only some pictures lie in such folders: a test set
    would be trained on.
    """
    folders = [tuple(n.split("/")[:-1]) for n in names]
    level = _level_of_splits(folders, where)
    if level is None:
        splits = np.full(len(names), NO_SPLIT, np.float32)
    else:
        _require_one_spelling([f[level] for f in folders], where)
        found = [SPELLINGS[f[level].casefold()] for f in folders]
        splits = np.array([SPLITS.index(split) for split in found], np.float32)
        folders = [(*f[:level], *_without(f[level + 1 :], split)) for f, split in zip(folders, found, strict=True)]
    classes = sorted({f[0] for f in folders}) if all(folders) else []
    if len(classes) < 2:
        return Folders(splits, None, (), _why_no_classes(folders, splits))
    return Folders(splits, np.array([classes.index(f[0]) for f in folders], np.float32), tuple(classes))


def _why_no_classes(folders: list[tuple[str, ...]], splits: np.ndarray) -> str:
    """A line where some splits have class folders, and others have none."""
    without = {int(split) for f, split in zip(folders, splits, strict=True) if not f}
    within = {
        int(split): {f[0] for f, s in zip(folders, splits, strict=True) if f and s == split} for split in set(splits)
    }
    some = [SPLITS[split] for split, classes in within.items() if len(classes) > 1 and split not in without]
    if not some:
        return ""
    return (
        f"no attribute label: the pictures of {', '.join(SPLITS[s] for s in sorted(without))} lie in no class folders"
    )


def _level_of_splits(folders: list[tuple[str, ...]], where: str) -> int | None:
    """The depth at which all pictures lie in folders of splits, one of them train."""
    for level in range(max(map(len, folders))):
        names = [f[level] if len(f) > level else "" for f in folders]
        path = lambda f, level=level: shown("/".join((where, *f[: level + 1], "")))
        found = {SPELLINGS.get(name.casefold()) for name in names}
        if found <= set(SPLITS) and "train" in found:
            return level
        odd = next((f for f, name in zip(folders, names, strict=True) if name.casefold() not in SPELLINGS), ())
        like = next((f for f, name in zip(folders, names, strict=True) if name.casefold() in SPELLINGS), None)
        if like and "train" in found and (level == 0 or len(found) > 2):
            raise BadInput(
                f"config.data.dir: {path(like)} is a split, and there are pictures outside of the splits, in {path(odd)}: expected all in "
                f"{KNOWN}"
            )
        if like and "train" not in found and level == 0:
            raise BadInput(
                f"config.data.dir: {path(like)} looks like a split, but there is no train/: expected {KNOWN}; rename it"
            )
    return None


def _require_one_spelling(names: list[str], where: str) -> None:
    spelt: dict[str, str] = {}
    for name in sorted(set(names)):
        other = spelt.setdefault(SPELLINGS[name.casefold()], name)
        if other != name:
            raise BadInput(
                f"config.data.dir: {shown(where)} has both {shown(other)}/ and {shown(name)}/ for the split "
                f"{SPELLINGS[name.casefold()]}: leave one"
            )


def _without(folders: tuple[str, ...], split: str) -> tuple[str, ...]:
    """The folders below a split, without one that repeats its name, as in train/train/."""
    return folders[1:] if folders and SPELLINGS.get(folders[0].casefold()) == split else folders
