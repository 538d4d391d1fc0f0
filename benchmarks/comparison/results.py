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
PARTS = ("config", "made", "metrics")
# Facts of a method that lacks them.
NONE = {"rival": "", "uncorrected": "", "own_prior": "", "series": "", "at": 0.0, "synthetic": False, "swapped": False}
# A trained and evaluated row: "row" (its name), "latent", "seed", "prior" (a digest), "image" (a strip, or ""), and the
# dicts "config", "made" (machine, versions) and "metrics".
Record = dict[str, Any]


@dataclass
class Results:
    """methods: row name -> facts of the row ("method" is its title). references: the strips of the originals and baselines."""

    facts: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def find(self, row: str, latent: int, seed: int) -> Record | None:
        place = (row, latent, seed)
        return next((r for r in self.records if (r["row"], r["latent"], r["seed"]) == place), None)

    def add(self, record: Record) -> None:
        """In the order of `methods`, then by seed and latent size; in place of an older one."""
        others = [r for r in self.records if any(r[name] != record[name] for name in ("row", "latent", "seed"))]
        order = list(self.methods)
        self.records = sorted([*others, record], key=lambda r: (order.index(r["row"]), r["seed"], r["latent"]))

    def frame(self) -> pd.DataFrame:
        """A run a row; columns: its place, the facts of its method, and its metrics."""
        of = lambda r: {name: r[name] for name in ("row", "latent", "seed", "prior", "image")}
        # The metric "method" is the kind of a model, without its settings.
        kind = lambda r: {"kind": r["metrics"].get("method")}
        runs = [r["metrics"] | kind(r) | of(r) | NONE | self.methods[r["row"]] for r in self.records]
        return pd.DataFrame(runs)


def load(path: Path) -> Results:
    """What `save` wrote; empty, if there is no such file."""
    if not path.exists():
        return Results()
    read = json.loads(path.read_text())
    names, common = read.pop("metrics"), read.pop("common")
    records = []
    for row in read.pop("rows"):
        metrics = {name: value for name, value in zip(names, row.pop("metrics"), strict=True) if value is not None}
        whole = {part: common[part] | row.pop(part, {}) for part in ("config", "made")}
        records.append({"prior": "", "image": ""} | row | whole | {"metrics": common["metrics"] | metrics})
    return Results(read, read.pop("methods"), read.pop("references"), records)


def save(path: Path, results: Results) -> None:
    """Write the file anew. Of the seeds of a row and latent size the first keeps its image."""
    records = rounded(results.records)
    common = {part: _common([record[part] for record in records]) for part in PARTS}
    names = sorted({name for record in records for name in record["metrics"]} - common["metrics"].keys())
    rows, seen = [], set()
    for record in records:
        place = (record["row"], record["latent"])
        row = {name: record[name] for name in ("row", "latent", "seed", "prior") if record[name] != ""}
        differs = {part: _without(record[part], common[part]) for part in ("config", "made")}
        row |= {part: of for part, of in differs.items() if of}
        row["metrics"] = [record["metrics"].get(name) for name in names]
        rows.append(row | ({"image": record["image"]} if record["image"] and place not in seen else {}))
        seen.add(place)
    written = results.facts | {"methods": results.methods, "common": common, "references": results.references}
    write_json(path, written | {"metrics": names, "rows": rows}, depth=2)


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


def _common(dicts: list[dict[str, Any]]) -> dict[str, Any]:
    """The items that all have."""
    first = dicts[0] if dicts else {}
    return {n: value for n, value in first.items() if all(n in d and d[n] == value for d in dicts)}


def _without(whole: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name not in common}


def strips(images: Path, latent: int) -> tuple[str, dict[str, str]]:
    """(the reconstructions, the references) of an evaluation's reconstructions.npz, as strips of the first SHOWN images."""
    with np.load(images, allow_pickle=False) as arrays:
        of = {title: encode(arrays[name]) for title, name in REFERENCES.items() if name in arrays}
        if "PCA" in of:
            of[f"PCA, {latent}"] = of.pop("PCA")
        return encode(arrays["reconstruction"]), of


def encode(images: np.ndarray) -> str:
    """[n, H, W, C] on [0, 1] -> a PNG of the first SHOWN side by side, in base64."""
    few = np.round(255 * images[:SHOWN]).astype(np.uint8)
    joined = np.concatenate(list(few), axis=1)
    buffer = io.BytesIO()
    Image.fromarray(joined[..., 0] if joined.shape[-1] == 1 else joined).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def decode(strip: str) -> np.ndarray:
    """What `encode` took, rounded to 256 levels."""
    joined = np.asarray(Image.open(io.BytesIO(base64.b64decode(strip)))) / 255
    joined = joined[..., None] if joined.ndim == 2 else joined
    return np.stack(np.split(joined, joined.shape[1] // joined.shape[0], axis=1))
