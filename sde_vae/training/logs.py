"""Log a stage: metrics.jsonl and TensorBoard events."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import SummaryWriter

from sde_vae.files import write_text


class MetricsLog:
    """One JSON object a logged step in `directory`/metrics.jsonl, and the same figures in `directory`/tb.

    A run that resumes from step `start` drops what was logged after it: those steps are made, and logged, again.
    """

    def __init__(self, directory: Path, start: int):
        path = directory / "metrics.jsonl"
        kept = [row for row in read(path) if row["step"] <= start]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = path.open("a", buffering=1)
        self._tb = SummaryWriter(str(directory / "tb"), purge_step=start + 1)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._tb.close()

    def write(self, step: int, metrics: dict[str, float]) -> None:
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        for name, value in metrics.items():
            self._tb.add_scalar(name, value, step)

    def images(self, step: int, named: dict[str, np.ndarray]) -> None:
        """Show images [n, H, W, C] on [0, 1] in TensorBoard, each name as one grid."""
        for name, images in named.items():
            self._tb.add_images(name, images, step, dataformats="NHWC")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line that was cut off is not a row."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
