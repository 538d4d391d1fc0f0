"""Writes the results of a benchmark: benchmarks/results/NAME.json for programs, NAME.md for readers, NAME.png."""

import io
import json
import math
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from sde_vae.files import write_text
from sde_vae.training import workdir

matplotlib.use("Agg")

# A table with its head, and a caption.
Made = tuple[list[list[str]], str]
RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).resolve().parent.parent
# Significant digits of a number in a JSON file: with 8 no figure of a page differs from the unrounded one's.
DIGITS = 8
COLOURS = 128


def record(
    name: str, title: str, figures: dict[str, Any], head: list[str], rows: list[list[str]], notes: str, **facts: Any
) -> None:
    """Write NAME.json and NAME.md, and print the table.

    `figures` go to the JSON file; `head`, `rows` and `notes` make the page. `facts` (command, versions, ...) replace those of
    this process.
    """
    facts = (
        workdir.facts()
        | {"command": command(), "machine": machine(), "load_at_end": round(os.getloadavg()[0], 1)}
        | facts
    )
    write_json(RESULTS / f"{name}.json", {"figures": figures, **facts}, depth=3)
    write_page(RESULTS / f"{name}.md", title, [*markdown([head, *rows]), "", notes], facts)
    print(title, *markdown([head, *rows]), f"page: {RESULTS / f'{name}.md'}", sep="\n")


def write_page(path: Path, title: str, lines: list[str], facts: dict[str, Any]) -> None:
    """Write a page: a title, `lines`, and a last line with the command, machine and versions of `facts`."""
    versions = ", ".join(f"{package} {version}" for package, version in facts["versions"].items())
    load = f" (load {facts['load_at_end']} at the end)" if "load_at_end" in facts else ""
    made = f"Made by `{facts['command']}` on {facts['machine']}{load}; {versions}."
    write_text(path, "\n".join([f"# {title}", "", *lines, "", made]) + "\n")


def command() -> str:
    """Return the command line of this benchmark, as one would type it. A path of the machine is cut to its last part."""
    program = Path(sys.argv[0]).resolve()
    if ROOT not in program.parents:
        return workdir.command()
    module = ".".join(program.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return shlex.join(["python", "-m", module, *words])


def machine() -> str:
    """Name the processor and its number of cores."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")]
    return f"{models[0] if models else 'unknown processor'}, {os.cpu_count()} cores"


def markdown(table: Iterable[list[str]]) -> list[str]:
    """The lines of a markdown table. The first row is the head."""
    head, *rows = table
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]


def write_json(path: Path, value: Any, depth: int) -> None:
    """Write JSON with numbers of DIGITS significant digits. Containers down to `depth` have one element a line, deeper ones one line."""
    write_text(path, as_json(rounded(value), depth) + "\n")


def as_json(value: Any, depth: int) -> str:
    if not depth or not isinstance(value, dict | list) or not value:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if isinstance(value, dict):
        lines = [f"{json.dumps(name, ensure_ascii=False)}: {as_json(of, depth - 1)}" for name, of in value.items()]
        return "{\n" + ",\n".join(lines) + "\n}"
    return "[\n" + ",\n".join(as_json(of, depth - 1) for of in value) + "\n]"


def rounded(value: Any) -> Any:
    """Numbers rounded to DIGITS significant digits, those that are not finite as None."""
    if isinstance(value, dict):
        return {name: rounded(of) for name, of in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(of) for of in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def save_png(figure: Figure, path: Path, dpi: int = 100) -> None:
    """Save a figure as a PNG of COLOURS colours, a third of the size of one without a palette, and close it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, format="png")
    # This method keeps rare colours, the lines, beside the many greys of images.
    whole, method = Image.open(buffer).convert("RGB"), Image.Quantize.MAXCOVERAGE
    image = whole.quantize(COLOURS, method=method, kmeans=1, dither=Image.Dither.NONE)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)
    plt.close(figure)
