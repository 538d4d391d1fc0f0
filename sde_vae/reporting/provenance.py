"""How a run was made, for the report: commands, times, sizes and the settings that differ from the defaults."""

from typing import Any

Rows = list[dict[str, Any]]  # of a stage's metrics.jsonl


def provenance(
    trained: dict[str, Any],
    evaluated: dict[str, Any],
    config: dict[str, Any],
    defaults: dict[str, Any],
    logs: dict[str, Rows],
    parameters: dict[str, int],
    images: dict[str, int],
) -> dict[str, Any]:
    """Return name -> value, or a dict of values, in the order of the report.

    `trained` and `evaluated` are the facts of the two processes (command, date, commit, versions, devices); what is unknown is left out.
    config and defaults are flat: "section.field" -> value. logs and parameters are by stage, images by split.
    """
    named = {
        "train command": trained.get("command"),
        "trained": trained.get("date"),
        "commit of training": trained.get("commit"),
        "training": {stage: duration(rows) for stage, rows in logs.items() if rows},
        "parameters": {stage: f"{count:,}" for stage, count in parameters.items()},
        "images": {split: f"{n:,}" for split, n in images.items()},
        "config (other values than the defaults)": changes(config, defaults),
        "devices of training": _joined(trained.get("devices")),
        "versions of training": trained.get("versions"),
        "evaluation command": evaluated.get("command"),
        "evaluated": evaluated.get("date"),
        "commit of evaluation": evaluated.get("commit"),
        "devices of evaluation": _joined(evaluated.get("devices")),
        "versions of evaluation": evaluated.get("versions"),
    }
    return {name: value for name, value in named.items() if value}


def changes(config: dict[str, Any], defaults: dict[str, Any]) -> dict[str, str]:
    """Return the fields whose value is not the default, with both.

    >>> changes({"seed": 1, "method": "score_vae"}, {"seed": 0, "method": "score_vae"})
    {'seed': '1 (default 0)'}
    """
    plain = lambda value: list(value) if isinstance(value, tuple) else value
    return {
        name: f"{value} (default {defaults.get(name)})"
        for name, value in sorted(config.items())
        if plain(value) != plain(defaults.get(name))
    }


def duration(rows: Rows) -> str:
    """Return the steps of a stage and the time they took, from the rate that each row logs.

    >>> duration([{"step": 10, "steps_per_second": 5.0}, {"step": 30, "steps_per_second": 10.0}])
    '30 steps in 4 s'
    """
    seconds, before = 0.0, 0
    for row in rows:
        if row.get("steps_per_second"):
            seconds += (row["step"] - before) / row["steps_per_second"]
        before = row["step"]
    return f"{before} steps in {seconds:.0f} s" if seconds else f"{before} steps"


def _joined(values: list[str] | None) -> str | None:
    """Count equal devices: "2 x cpu"."""
    return ", ".join(f"{values.count(name)} x {name}" for name in dict.fromkeys(values)) if values else None
