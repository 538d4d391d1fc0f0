"""Writes one section of benchmarks/results/faults.json and faults.md; the other sections stay as they are.

A section has the name of the module that makes it.
"""

import json
from typing import Any

from benchmarks.record import RESULTS, command, machine, markdown, write_json
from sde_vae.files import write_text
from sde_vae.training import workdir

NAME = "faults"
# The order of the page.
SECTIONS = ("cases", "config_walk", "injected", "readers", "mutants")


def record_section(
    section: str, title: str, head: list[str], rows: list[list[str]], notes: str, figures: dict[str, Any]
) -> None:
    """Replace `section` of the page: a title, a table, notes under it; `figures` go to the JSON file alone. Prints the table."""
    sections = recorded()
    facts = workdir.facts() | {"machine": machine(), "command": command()}
    sections[section] = {"title": title, "head": head, "rows": rows, "notes": notes, "figures": figures, **facts}
    sections = {name: sections[name] for name in SECTIONS if name in sections}
    write_json(RESULTS / f"{NAME}.json", sections, depth=3)
    write_text(RESULTS / f"{NAME}.md", "\n".join(["# Faults", "", *(l for s in sections.values() for l in lines(s))]))
    print(title, *markdown([head, *rows]), notes, sep="\n")


def figures_of(section: str) -> dict[str, Any]:
    """Return the figures of a section as they were recorded, or {}."""
    return recorded().get(section, {}).get("figures", {})


def recorded() -> dict[str, Any]:
    """Return all sections as they were recorded."""
    path = RESULTS / f"{NAME}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def lines(section: dict[str, Any]) -> list[str]:
    """The lines of one section of the page."""
    made = f"Made by `{section['command']}` on {section['machine']}, {section['date']}."
    table = markdown([section["head"], *section["rows"]])
    return [f"## {section['title']}", "", *table, "", section["notes"], "", made, ""]
