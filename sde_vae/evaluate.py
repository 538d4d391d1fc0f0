"""The evaluation: run the evaluators, write metrics.json, pictures and the report."""

import math
from pathlib import Path
from typing import Any

from sde_vae import logs, pictures
from sde_vae.evaluators.subject import Evaluator, Subject
from sde_vae.logs import write_json
from sde_vae.parts import Parts
from sde_vae.report import PICTURES, write_report


def evaluate(
    evaluators: dict[str, Evaluator],
    subject: Subject,
    parts: Parts,
    out: Path,
    title: str,
    facts: dict[str, Any],
    run: dict[str, Any],
) -> dict[str, Any]:
    """Every (name, value) of the evaluators, then `facts` (n, seed, ...), written to out/metrics.json and out/report.html.

    What was finished before a stop, as `parts` has it, is not made again.
    """
    metrics: dict[str, Any] = {}
    for name, evaluator in evaluators.items():
        metrics |= parts.values(name, lambda evaluator=evaluator: _finite(dict(evaluator(subject))))
    metrics |= facts
    write_json(out / "metrics.json", metrics)

    logged = sorted(out.parent.glob("*/metrics.jsonl"), key=lambda p: p.stat().st_mtime)
    if logged := {p.parent.name: rows for p in logged if (rows := logs.read(p))}:
        pictures.curves(logged, subject.pictures / "curves.png")
    # The pictures of this evaluation take the places of an older one's, all of them.
    for stem in PICTURES:
        (out / f"{stem}.png").unlink(missing_ok=True)
    for picture in subject.pictures.glob("*.*"):
        picture.replace(out / picture.name)
    write_report(out / "report.html", title, metrics, run)
    parts.discard()
    return metrics


def _finite(metrics: dict[str, Any]) -> dict[str, Any]:
    """Without what is not defined, such as the standard error of one image: JSON has no NaN."""
    return {name: value for name, value in metrics.items() if not isinstance(value, float) or math.isfinite(value)}
