"""Read an attributes.csv: a header, then a line for each picture, with its file name and values.

file,smiling,age,kind
a.png,yes,34,cat
train/b.png,no,51.5,dog

A column holds numbers, or truth values, or labels. The separator is a comma, a semicolon or a tab.
"""

import csv
import io
import re
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from sde_vae.data.io.formats import shown
from sde_vae.errors import BadInput, shortened

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
# Pairs of words for 0 and 1, in upper or lower case.
TRUTH = (("false", "true"), ("no", "yes"))
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")


class Table(NamedTuple):
    """The names of the columns, their values as float32 [n, columns], and column -> the words for its values 0, 1, ..."""

    names: tuple[str, ...]
    values: np.ndarray
    words: dict[str, tuple[str, ...]]


def parse(data: bytes, where: str, names: list[str]) -> Table:
    """Return the attributes of the pictures `names`, in this order.

    Raises BadInput, with the line's number, unless every picture has one line, and every line a picture and a value in each column.

    >>> parse(b"file;age;kind\\na.png;34,5;cat", "attributes.csv", ["a.png"])
    Table(names=('age', 'kind'), values=array([[34.5,  0. ]], dtype=float32), words={'kind': ('cat',)})
    """
    separator, lines = _lines(data, where)
    header = [cell.strip() for cell in lines[0][1]] if lines else []
    columns = tuple(header[1:])
    if not columns or not all(columns) or len(set(columns)) < len(columns) or not all(map(str.isprintable, columns)):
        raise BadInput(
            f"{where}: line 1 must be the word file and different names of attributes, separated by comma, semicolon or tab, got "
            f"{_brief(separator.join(header))!r}"
        )
    rows: dict[str, tuple[int, list[str]]] = {}
    for number, (name, *cells) in lines[1:]:
        name = _as_path(name)
        if name in rows:
            raise BadInput(f"{where}: line {number}: a second line for {_brief(name)!r}")
        if len(cells) != len(columns):
            raise BadInput(
                f"{where}: line {number}: {_brief(name)!r} has {len(cells)} values, and the header {len(columns)} names (separated by a "
                f"{SEPARATORS[separator]})"
            )
        rows[name] = (number, [cell.strip() for cell in cells])
    _require_same(where, names, rows)
    ordered = [rows[name] for name in names]
    found = [
        _column([(number, cells[k]) for number, cells in ordered], f"{where}: {_brief(name)}", separator)
        for k, name in enumerate(columns)
    ]
    words = {name: words for name, (_, words) in zip(columns, found, strict=True) if words}
    return Table(columns, np.stack([values for values, _ in found], axis=1), words)


def _lines(data: bytes, where: str) -> tuple[str, list[tuple[int, list[str]]]]:
    """Return (the separator, (number, cells) of each line that is not empty): the separator that the header has most of."""
    try:
        text = data.decode("utf-8-sig")
        header = text.partition("\n")[0]
        separator = max(SEPARATORS, key=header.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        return separator, [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{where}: not a CSV file in UTF-8 ({shortened(str(error))})") from None


def _column(cells: list[tuple[int, str]], where: str, separator: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (values float32 [n], the words for 0, 1, ... where the column has words)."""
    if separator != ",":
        cells = [(n, c.replace(",", ".") if DECIMAL_COMMA.fullmatch(c) else c) for n, c in cells]
    for number, cell in cells:
        if not cell:
            raise BadInput(f"{where}: line {number} has no value: give every picture one")
    given = [cell for _, cell in cells]
    numeric = [NUMBER.fullmatch(cell) is not None for cell in given]
    if all(numeric):
        return _numbers(cells, where), ()
    if any(numeric):
        number, word = cells[numeric.index(False)]
        raise BadInput(
            f"{where}: line {number} has {_brief(word)!r}, and other lines have numbers: give numbers alone, or words alone"
        )
    for words in TRUTH:
        if {cell.casefold() for cell in given} <= set(words):
            return np.array([words.index(cell.casefold()) for cell in given], np.float32), words
    words = tuple(sorted({shown(cell) for cell in given}))
    places = {word: i for i, word in enumerate(words)}
    return np.array([places[shown(cell)] for cell in given], np.float32), words


def _numbers(cells: list[tuple[int, str]], where: str) -> np.ndarray:
    numbers = np.array([float(cell) for _, cell in cells], np.float64)
    wrong = np.flatnonzero(~(np.abs(numbers) <= np.finfo(np.float32).max))  # of NaN too
    if len(wrong):
        number, cell = cells[wrong[0]]
        raise BadInput(f"{where}: line {number} has {_brief(cell)}, which is not a finite float32")
    return numbers.astype(np.float32)


def _as_path(name: str) -> str:
    """The name with "/", as the pictures have it."""
    return PurePosixPath(name.strip().replace("\\", "/")).as_posix()


def _require_same(where: str, names: list[str], rows: dict[str, tuple[int, list[str]]]) -> None:
    missing = [n for n in names if n not in rows]
    extra = sorted(rows.keys() - set(names))
    if missing:
        raise BadInput(f"{where}: no line for {_some(missing)}")
    if extra:
        raise BadInput(f"{where}: no picture for {_some(extra)}")


def _some(names: list[str]) -> str:
    return _brief(", ".join(names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _brief(text: str) -> str:
    """A text of the file as a message shows it."""
    return shortened(shown(text))
