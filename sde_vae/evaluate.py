"""The evaluation: run the evaluators, write metrics.json, pictures and the report."""

import time
from pathlib import Path
from typing import Any

from sde_vae import pictures
from sde_vae.evaluators.subject import Evaluator, Subject
from sde_vae.logs import write_json
from sde_vae.parts import Parts
from sde_vae.report import write_report


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
        metrics |= parts.values(name, lambda name=name, evaluator=evaluator: _timed(name, evaluator, subject))
    metrics |= facts
    write_json(out / "metrics.json", metrics)

    logged = {p.parent.name: p for p in sorted(out.parent.glob("*/metrics.jsonl"), key=lambda p: p.stat().st_mtime)}
    if logged:
        pictures.curves(logged, out / "curves.png")
    write_report(out / "report.html", title, metrics, run)
    parts.discard()
    return metrics


def _timed(name: str, evaluator: Evaluator, subject: Subject) -> dict[str, Any]:
    start = time.perf_counter()
    return dict(evaluator(subject)) | {f"seconds/{name}": time.perf_counter() - start}
