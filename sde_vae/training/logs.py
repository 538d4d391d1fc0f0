"""Log a stage: metrics.jsonl and TensorBoard events."""

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sde_vae.files import finite_json, write_text, written


class MetricsLog:
    """Write the metrics of each logged step, as one JSON object in `directory`/metrics.jsonl and to TensorBoard in `directory`/tb.

    A run that resumes from step `start` drops the rows after it, because those steps are repeated and logged again.
    """

    def __init__(self, directory: Path, start: int):
        # Imported late: where torch is installed, it imports all of it.
        from tensorboardX import SummaryWriter

        path = directory / "metrics.jsonl"
        kept = [row for row in read(path) if row["step"] <= start]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        self._path, self._file = path, path.open("a", buffering=1)
        self._tb = SummaryWriter(str(directory / "tb"), purge_step=start + 1)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        with written(self._path):
            self._file.close()
            self._tb.close()

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Write the metrics of one step; one that is not finite is null in the file."""
        with written(self._path):
            self._file.write(json.dumps({"step": step, **finite_json(metrics)[0]}, allow_nan=False) + "\n")
        for name, value in metrics.items():
            self._tb.add_scalar(name, value, step)

    def images(self, step: int, named: dict[str, np.ndarray]) -> None:
        """Show images [n, H, W, C] on [0, 1] in TensorBoard, each name as one grid."""
        for name, images in named.items():
            self._tb.add_images(name, images, step, dataformats="NHWC")


class NoLog:
    """Write nothing, as the processes but the first do."""

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Write nothing."""

    def images(self, step: int, named: dict[str, np.ndarray]) -> None:
        """Show nothing."""


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics.jsonl; the values of a row are finite numbers, or None.

    A last line that is incomplete is left out, as a killed run leaves one. Other damaged lines are left out with a warning.
    """
    if not path.is_file():
        return []
    *lines, last = path.read_bytes().split(b"\n")
    rows = [_row(line) for line in lines]
    if damaged := [n for n, row in enumerate(rows, start=1) if row is None]:
        which = ", ".join(map(str, damaged[:3])) + (", ..." if len(damaged) > 3 else "")
        warnings.warn(f"{path}: {len(damaged)} of {len(rows)} lines are damaged and left out: {which}", stacklevel=2)
    return [row for row in [*rows, _row(last)] if row is not None]


def _row(line: bytes) -> dict[str, Any] | None:
    """Return the row, or None for a line that holds none."""
    try:
        row = json.loads(line)
    # Deeply nested brackets are a RecursionError, and bytes that are not UTF-8 a ValueError.
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    return row if all(value is None or _is_number(value) for value in row.values()) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
