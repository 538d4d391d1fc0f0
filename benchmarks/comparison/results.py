"""The rows of a table in benchmarks/results/NAME.json, from which training resumes and all pages and pictures are made.

What all rows have in common (fields of the config, metrics, machine) is written once; each row then has what differs, a line a row.
"""

import base64
import fcntl
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.record import rounded, write_json

# Images of a strip.
SHOWN = 8
REFERENCES = {"original": "original", "mean image": "baseline/mean_image", "PCA": "baseline/pca"}
PLACE = ("row", "latent", "seed")
PARTS = ("config", "made", "metrics")
# Facts of a method that lacks them.
NONE = {"rival": "", "uncorrected": "", "own_prior": "", "series": "", "at": 0.0, "synthetic": False, "swapped": False}
# A trained and evaluated row: its PLACE, "prior" (a digest), "image" (a strip, or ""), and the dicts "config", "made"
# (machine, versions) and "metrics".
Record = dict[str, Any]


@dataclass
class Results:
    """methods: row name -> facts of the row ("method" is its title). references: the strips of the originals and baselines."""

    facts: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def find(self, *place: str | int) -> Record | None:
        return next((record for record in self.records if place_of(record) == place), None)

    def add(self, record: Record) -> None:
        """In the order of `methods`, then by seed and latent size; in place of an older one."""
        others, order = [r for r in self.records if place_of(r) != place_of(record)], list(self.methods)
        self.records = sorted([*others, record], key=lambda r: (order.index(r["row"]), r["seed"], r["latent"]))

    def frame(self) -> pd.DataFrame:
        """A run a row; columns: its place, the facts of its method, and its metrics ("method" among them as "kind")."""
        of = lambda r: {name: r[name] for name in (*PLACE, "prior", "image")} | {"kind": r["metrics"].get("method")}
        return pd.DataFrame([r["metrics"] | of(r) | NONE | self.methods[r["row"]] for r in self.records])


def place_of(record: Record) -> tuple[str, int, int]:
    return tuple(record[name] for name in PLACE)


def load(path: Path) -> Results:
    """What `save` wrote; empty, if there is no such file."""
    if not path.exists():
        return Results()
    read = json.loads(path.read_text())
    names, common, records = read.pop("metrics"), read.pop("common"), []
    for row in read.pop("rows"):
        metrics = {name: v for name, v in zip(names, row.pop("metrics"), strict=True) if v is not None}
        parts = {part: common[part] | row.pop(part, {}) for part in ("config", "made")}
        records.append({"prior": "", "image": ""} | row | parts | {"metrics": common["metrics"] | metrics})
    return Results(read, read.pop("methods"), read.pop("references"), records)


def save(path: Path, results: Results) -> None:
    """Write the file anew. Of the seeds of a row and latent size the first keeps its image."""
    records, rows, seen = rounded(results.records), [], set()
    common = {part: _common([record[part] for record in records]) for part in PARTS}
    names = sorted({name for record in records for name in record["metrics"]} - common["metrics"].keys())
    for record in records:
        differs = {part: {n: v for n, v in record[part].items() if n not in common[part]} for part in PARTS[:2]}
        image = record["image"] if place_of(record)[:2] not in seen else ""
        row = {name: record[name] for name in (*PLACE, "prior")} | differs | {"image": image}
        rows.append(
            {n: v for n, v in row.items() if v not in ("", {})} | {"metrics": [record["metrics"].get(n) for n in names]}
        )
        seen.add(place_of(record)[:2])
    written = results.facts | {"methods": results.methods, "common": common, "references": results.references}
    write_json(path, written | {"metrics": names, "rows": rows}, depth=2)


def _common(dicts: list[dict[str, Any]]) -> dict[str, Any]:
    """The items that all have."""
    return {n: v for n, v in (dicts or [{}])[0].items() if all(n in d and d[n] == v for d in dicts)}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from changing the file in the meantime: read it inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def strips(images: Path, latent: int) -> tuple[str, dict[str, str]]:
    """(the reconstructions, the references) of an evaluation's reconstructions.npz, as strips of the first SHOWN images."""
    with np.load(images, allow_pickle=False) as arrays:
        of = {title: encode(arrays[name]) for title, name in REFERENCES.items() if name in arrays}
        return encode(arrays["reconstruction"]), {
            f"PCA, {latent}" if n == "PCA" else n: strip for n, strip in of.items()
        }


def encode(images: np.ndarray) -> str:
    """[n, H, W, C] on [0, 1] -> a PNG of the first SHOWN side by side, in base64."""
    joined = np.concatenate(list(np.round(255 * images[:SHOWN]).astype(np.uint8)), axis=1)
    buffer = io.BytesIO()
    Image.fromarray(joined[..., 0] if joined.shape[-1] == 1 else joined).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def decode(strip: str) -> np.ndarray:
    """What `encode` took, rounded to 256 levels."""
    joined = np.atleast_3d(np.asarray(Image.open(io.BytesIO(base64.b64decode(strip)))) / 255)
    return np.stack(np.split(joined, joined.shape[1] // joined.shape[0], axis=1))
