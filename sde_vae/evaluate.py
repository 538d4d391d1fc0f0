"""The evaluation: run the evaluators, write metrics.json, pictures and the report."""

import time
from pathlib import Path
from typing import Any

from sde_vae import pictures
from sde_vae.evaluators.subject import Evaluator, Subject
from sde_vae.logs import write_json
from sde_vae.report import write_report


def evaluate(
    evaluators: dict[str, Evaluator],
    subject: Subject,
    out: Path,
    title: str,
    facts: dict[str, Any],
    run: dict[str, Any],
) -> dict[str, Any]:
    """Every (name, value) of the evaluators, then `facts` (n, seed, ...), written to out/metrics.json and out/report.html."""
    metrics: dict[str, Any] = {}
    for name, evaluator in evaluators.items():
        start = time.perf_counter()
        metrics |= dict(evaluator(subject))
        metrics[f"seconds/{name}"] = time.perf_counter() - start
    metrics |= facts
    write_json(out / "metrics.json", metrics)

    logged = {p.parent.name: p for p in sorted(out.parent.glob("*/metrics.jsonl"), key=lambda p: p.stat().st_mtime)}
    if logged:
        pictures.curves(logged, out / "curves.png")
    shown = [p for stem in ("reconstructions", "samples", "curves") if (p := out / f"{stem}.png").exists()]
    write_report(out / "report.html", title, metrics, shown, run)
    return metrics


def table(metrics: dict[str, Any]) -> str:
    """The few figures worth a terminal."""
    lines = [f"{'held out':24}{'l2':>10}{'mse':>10}"]
    for title, name in {
        "ScoreVAE": "reconstruction",
        "ScoreVAE, mean z": "reconstruction_of_mean",
        "PCA": "baseline/pca",
        "mean image": "baseline/mean_image",
    }.items():
        if f"{name}/l2" in metrics:
            lines.append(f"{title:24}{metrics[f'{name}/l2']:10.3f}{metrics[f'{name}/mse']:10.4f}")
    if "bits_per_dim/total" in metrics:
        lines.append(f"{'bits/dim (bound)':24}{metrics['bits_per_dim/total']:10.3f}")
    for name in sorted(name for name in metrics if name.endswith("_steps_per_second")):
        lines.append(f"{name.removesuffix('_steps_per_second') + ', steps/s':24}{metrics[name]:10.1f}")
    return "\n".join(lines)
