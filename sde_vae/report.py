"""report.html: one page with everything inside it, readable on a phone, without a network."""

import base64
import html
from pathlib import Path
from typing import Any

from sde_vae.logs import write_text

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; text-align: left; }
td.figure { font-variant-numeric: tabular-nums; text-align: right; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
code, pre { font-size: .85rem; } pre { overflow-x: auto; white-space: pre-wrap; }
"""

CAPTIONS = {
    "reconstructions": "Held-out images and their reconstructions",
    "samples": "New images, drawn from the prior",
    "curves": "Training curves",
}


def write_report(path: Path, title: str, metrics: dict[str, Any], pictures: list[Path], run: dict[str, Any]) -> None:
    """`metrics` as a table, each picture under a heading, and `run` (command, versions, devices) at the end."""
    sections = [
        f"<h2>{html.escape(CAPTIONS.get(p.stem, p.stem))}</h2>\n<img alt={p.stem!r} src='{_data_uri(p)}'>"
        for p in pictures
    ]
    rows = "\n".join(
        f"<tr><td><code>{html.escape(name)}</code></td><td class='figure'>{_figure(value)}</td></tr>"
        for name, value in metrics.items()
        if not name.endswith("_stderr")
        for value in [(value, metrics.get(f"{name}_stderr"))]
    )
    facts = "\n".join(f"{html.escape(name)}: {html.escape(str(value))}" for name, value in run.items())
    write_text(
        path,
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p>Images on [0, 1]; <code>l2</code> is the mean Euclidean norm per image; &plusmn; is one standard error over the images.</p>
{chr(10).join(sections)}
<h2>Metrics</h2>
<table>{rows}</table>
<h2>How it was made</h2>
<pre>{facts}</pre>
</body></html>
""",
    )


def _figure(pair: tuple[Any, Any]) -> str:
    value, error = pair
    text = f"{value:.4g}" if isinstance(value, float) else html.escape(str(value))
    return text if error is None else f"{text} &plusmn; {error:.1g}"


def _data_uri(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
