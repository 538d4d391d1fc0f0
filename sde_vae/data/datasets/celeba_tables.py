"""Read CelebA's two tables, as their authors distribute them (.txt, separated by spaces) or as others convert them (.csv).

    list_attr_celeba       40 names of attributes, then a line of -1 or 1 for each picture; some converted tables have 0 for -1
    list_eval_partition    a line for each picture: 0 for train, 1 for valid, 2 for test

The .txt of the attributes begins with the number of pictures, and a .csv with the word image_id. The content decides, not the ending.
Pictures are known by their name without its ending, in lower case: some have 000001.jpg as 000001.JPG or 000001.png.
"""

import re
from pathlib import Path, PurePosixPath

import numpy as np

from sde_vae.errors import BadInput

COLUMNS = 40
SPLITS = ("train", "valid", "test")
ENDINGS = (".jpg", ".jpeg", ".png")  # of pictures, in lower case
MAX_BYTES = 2**28  # of a table; the largest of CelebA has 2**25
SHOWN = 60  # characters of a bad line


def picture_key(name: str) -> str:
    """Return the name by which a picture is known in tables and folders.

    >>> picture_key("img_align_celeba/000001.JPG")
    '000001'
    """
    return PurePosixPath(name).stem.casefold()


def read_attributes(path: Path) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Return (names of the attributes, picture -> int8 [40] of 0 and 1). Raises BadInput that names the line."""
    lines = _lines(path)
    counted = len(lines[0]) == 1
    if counted and lines[0][0] != str(len(lines) - 2):
        raise BadInput(
            f"{path}: line 1 must be the number of pictures, {max(len(lines) - 2, 0)}, got {_shown(lines[0])}"
        )
    # In a .csv the name of the column of file names comes first.
    start = 1 if counted else 0
    if len(lines) < start + 2:
        raise BadInput(f"{path}: has no line of a picture; get it anew")
    names = lines[start] if counted else lines[start][1:]
    if len(set(names)) != COLUMNS or len(names) != COLUMNS:
        raise BadInput(
            f"{path}: line {start + 1} must have {COLUMNS} different names of attributes, got {len(set(names))}"
        )
    bits: dict[str, np.ndarray] = {}
    low: str | None = None  # how this table writes that a picture lacks an attribute
    for number, (name, *cells) in enumerate(lines[start + 1 :], start + 2):
        low = low or next((cell for cell in cells if cell in ("-1", "0")), None)
        if len(cells) != COLUMNS or not {low, "1"}.issuperset(cells):
            signs = "-1" if low is None else low
            raise BadInput(f"{path}: line {number}: expected a file name and {COLUMNS} times {signs} or 1")
        _add(bits, path, number, name, (np.array(cells) == "1").astype(np.int8))
    return tuple(names), bits


def read_partition(path: Path) -> dict[str, int]:
    """Return picture -> number of its split in SPLITS. Raises BadInput that names the line."""
    lines = _lines(path)
    header = not lines[0][0].casefold().endswith(ENDINGS) and len(lines[0]) == 2
    numbers: dict[str, int] = {}
    for number, line in enumerate(lines[header:], 1 + header):
        if len(line) != 2 or line[1] not in ("0", "1", "2"):
            raise BadInput(f"{path}: line {number}: expected a file name and 0, 1 or 2, got {_shown(line)}")
        _add(numbers, path, number, line[0], int(line[1]))
    return numbers


def _add(rows: dict, path: Path, number: int, name: str, row: object) -> None:
    """Set the row of a picture. Raises BadInput for a second one."""
    key = picture_key(name)
    if not name.casefold().endswith(ENDINGS):
        raise BadInput(
            f"{path}: line {number}: expected the name of a picture ({', '.join(ENDINGS)}), got {_shown([name])}"
        )
    if key in rows:
        raise BadInput(f"{path}: line {number}: a second line for {_shown([name])}")
    rows[key] = row


def _lines(path: Path) -> list[list[str]]:
    """Return the words of each line, one line at least. Raises BadInput for an empty line that is not at the end."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}: is not text in UTF-8; get it anew") from None
    if len(data) > MAX_BYTES:
        raise BadInput(f"{path}: has over {MAX_BYTES} bytes, and cannot be a table of CelebA")
    # No name in these tables has a space, a comma or a quote; an empty cell of a .csv gives too few words.
    lines = [re.split(r"[\s,;\"]+", line.strip(' \t\r,;"')) for line in text.rstrip().split("\n")]
    if [""] in lines:
        number = lines.index([""]) + 1
        raise BadInput(f"{path}: {f'line {number} is empty' if len(lines) > 1 else 'is empty'}; get it anew")
    return lines


def _shown(words: list[str]) -> str:
    """Return words in quotes, in one line that is not long, without control characters."""
    line = " ".join(words)
    return ascii(line if len(line) <= SHOWN else line[:SHOWN] + "...")
