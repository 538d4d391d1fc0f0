"""Where the benchmarks write: results/NAME.json with the machine and versions that made it, and results/NAME.md to read."""

import os
from pathlib import Path
from typing import Any

from sde_vae import workdir
from sde_vae.logs import write_json, write_text

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """The processor and its cores."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")]
    return f"{models[0] if models else 'unknown processor'}, {os.cpu_count()} cores"


def markdown(table: list[list[str]]) -> list[str]:
    """The lines of a table whose first row is its head."""
    return ["| " + " | ".join(row) + " |" for row in [table[0], ["---"] * len(table[0]), *table[1:]]]


def record(
    name: str, title: str, figures: dict[str, Any], head: list[str], rows: list[list[str]], notes: str, **facts: Any
) -> None:
    """`figures` go to the JSON as they are; `head`, `rows` and `notes` make the page. `facts` stand for those of this process."""
    facts = workdir.facts() | {"machine": machine(), "load_at_end": round(os.getloadavg()[0], 1)} | facts
    write_json(RESULTS / f"{name}.json", {"figures": figures, **facts})
    lines = [f"# {title}", "", *markdown([head, *rows]), "", notes, ""]
    versions = ", ".join(f"{package} {version}" for package, version in facts["versions"].items())
    lines += [f"`{facts['command']}` on {facts['machine']} (load {facts['load_at_end']} at the end); {versions}."]
    path = RESULTS / f"{name}.md"
    write_text(path, "\n".join(lines) + "\n")
    table = [title, *markdown([head, *rows])]
    print(*table, f"all of it: {path}", sep="\n")
