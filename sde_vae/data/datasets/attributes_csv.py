"""Read an attributes.csv: a header, then a line for each picture, with its file name and numbers.

file,smiling,age
a.png,1,34
train/b.png,0,51.5
"""

import csv
import io

import numpy as np

from sde_vae.errors import BadInput


def parse(data: bytes, where: str, names: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return (names of the columns, numbers as float32 [len(names), columns]), with row i for the picture names[i].

    Raises BadInput, with the line's number, unless every picture has one line, and every line a picture and finite numbers.

    >>> parse(b"file,age\\na.png,34", "attributes.csv", ["a.png"])
    (('age',), array([[34.]], dtype=float32))
    """
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        lines = [(reader.line_num, line) for line in reader if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{where}: not a CSV file in UTF-8 ({error})") from None
    header = [cell.strip() for cell in lines[0][1]] if lines else []
    columns = tuple(header[1:])
    if not columns or not all(columns) or len(set(columns)) < len(columns):
        raise BadInput(
            f"{where}: line 1 must be the word file and different names of attributes, got {','.join(header)!r}"
        )
    rows: dict[str, np.ndarray] = {}
    for number, (name, *cells) in lines[1:]:
        if name in rows:
            raise BadInput(f"{where}: line {number}: a second line for {name!r}")
        rows[name] = _numbers(cells, f"{where}: line {number}: {name!r}", columns)
    _require_same(where, names, rows)
    return columns, np.stack([rows[name] for name in names])


def _numbers(cells: list[str], line: str, columns: tuple[str, ...]) -> np.ndarray:
    if len(cells) != len(columns):
        raise BadInput(f"{line} has {len(cells)} numbers, and the header {len(columns)} names")
    try:
        numbers = np.array([float(cell) for cell in cells], np.float64)
    except ValueError as error:
        raise BadInput(f"{line}: {error}") from None
    if not np.all(np.abs(numbers) <= np.finfo(np.float32).max):  # false for NaN too
        raise BadInput(f"{line}: {','.join(cells)} are not all finite")
    return numbers.astype(np.float32)


def _require_same(where: str, names: list[str], rows: dict[str, np.ndarray]) -> None:
    missing = [n for n in names if n not in rows]
    extra = sorted(rows.keys() - set(names))
    if missing:
        raise BadInput(f"{where}: no line for {_some(missing)}")
    if extra:
        raise BadInput(f"{where}: no picture for {_some(extra)}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
