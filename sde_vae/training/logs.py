"""Log a stage: metrics.jsonl and TensorBoard events."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from sde_vae.files import write_text


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
        self._file = path.open("a", buffering=1)
        self._tb = SummaryWriter(str(directory / "tb"), purge_step=start + 1)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._tb.close()

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Write the metrics of one step."""
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        for name, value in metrics.items():
            self._tb.add_scalar(name, value, step)

    def images(self, step: int, named: dict[str, np.ndarray]) -> None:
        """Show images [n, H, W, C] on [0, 1] in TensorBoard, each name as one grid."""
        for name, images in named.items():
            self._tb.add_images(name, images, step, dataformats="NHWC")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics.jsonl, without a last line that is incomplete."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
