"""Find CelebA's files where people have them.

Kaggle's download has .csv tables, and the pictures one folder deeper than expected (img_align_celeba/img_align_celeba/). The authors'
Drive has the folders Img/, Anno/ and Eval/. Either may lie in one more folder.
"""

from pathlib import Path
from typing import NamedTuple

from sde_vae.data.datasets.search import search
from sde_vae.errors import BadInput

PICTURES, ATTRIBUTES, PARTITION = "img_align_celeba", "list_attr_celeba", "list_eval_partition"
WANTED = {
    "pictures": (f"{PICTURES}.zip", PICTURES, f"{PICTURES}_png"),
    "attributes": (f"{ATTRIBUTES}.txt", f"{ATTRIBUTES}.csv"),
    "partition": (f"{PARTITION}.txt", f"{PARTITION}.csv"),
}


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
    found, searched = search(root, WANTED)
    if missing := [" or ".join(names[:2]) for what, names in WANTED.items() if what not in found]:
        raise BadInput(
            f"config.data.dir: {root} has no {', no '.join(missing)} (searched: {searched}); expected {expected()}"
        )
    return CelebAFiles(**found)
