"""Read a .csv of numbers: one example a line, one dimension a column, perhaps under a header of names."""

import array
import csv
import math
from pathlib import Path

import numpy as np

from sde_vae.data.datasets.attributes_csv import NUMBER, SEPARATORS
from sde_vae.data.io.formats import shown
from sde_vae.errors import BadInput, shortened


def read_csv(path: Path) -> np.ndarray:
    """Return the numbers, float64 [lines, columns]. The separator is a comma, a semicolon or a tab.

    The first line is a header if none of its cells is a number. Raises BadInput, with line and column, for a cell that is not a finite
    number, and for lines of different lengths.
    """
    where = shown(path)
    values, columns, header = array.array("d"), 0, []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip()), "")
            separator = max(SEPARATORS, key=first.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=separator, strict=True)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if not columns:
                    columns = len(cells)
                    if not any(NUMBER.fullmatch(cell.strip()) for cell in cells):
                        header = [cell.strip() for cell in cells]
                        continue
                if len(cells) != columns:
                    raise BadInput(
                        f"{where}: line {reader.line_num} has {len(cells)} cells, and the first {columns} (separated by a "
                        f"{SEPARATORS[separator]})"
                    )
                values.extend(_number(c, where, reader.line_num, k, header) for k, c in enumerate(cells))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{where}: not a CSV file in UTF-8 ({shortened(str(error))})") from error
    if not values:
        raise BadInput(f"{where}: no line of numbers")
    return np.frombuffer(values, np.float64).reshape(-1, columns)


def _number(cell: str, where: str, line: int, column: int, header: list[str]) -> float:
    text = cell.strip()
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        name = f" ({shown(shortened(header[column], 60))})" if header else ""
        got = shown(shortened(repr(text), 60)) if text else "no value"
        raise BadInput(f"{where}: line {line}, column {column + 1}{name}: got {got}, expected a finite number")
    return value
