"""report.html: one page with everything inside it, readable on a phone and in print, without a network."""

import base64
import html
from pathlib import Path
from typing import Any

from sde_vae.files import write_text
from sde_vae.reporting.tables import Table, figure, tables

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
p { max-width: 62rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
td, th { padding: .25rem .9rem .25rem 0; text-align: right; white-space: nowrap; }
tr > :first-child { text-align: left; }
thead th { border-bottom: 1px solid currentColor; }
figure { margin: 0; overflow-x: auto; }
img { width: 100%; max-width: 48rem; min-width: 36rem; height: auto; background: #fff; border-radius: 4px; }
figcaption, .note { font-size: .85rem; opacity: .8; }
code, pre { font-size: .85rem; } td code { white-space: normal; overflow-wrap: anywhere; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
@media print {
  body { margin: 0; max-width: none; font-size: 10pt; } h2, figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
  .wide, figure { overflow: visible; } img { min-width: 0; max-height: 22cm; object-fit: contain; }
  table { font-size: 8pt; } td, th { white-space: normal; overflow-wrap: anywhere; padding-right: .5rem; }
}
"""

# Picture -> (heading, caption), in the order of the page.
PICTURES = {
    "reconstructions": ("Reconstructions", "The first images of the split, and what becomes of them."),
    "worst": ("The worst reconstructions", "The 16 images with the largest l2, the worst first."),
    "trajectory": (
        "How an image is decoded",
        "From noise (left) to image (right), from the mean of three posteriors: x_t at half contrast, and E[x_0 | x_t, z].",
    ),
    "inversion": (
        "With the noise that they come from",
        "Decoded from z and from the x_T that the probability-flow ODE finds, which holds what z leaves out; below, that x_T.",
    ),
    "multi_sample": (
        "One image for a latent",
        "Not one draw: the mean of several decodings, and what one evaluation of the score says.",
    ),
    "latents": (
        "The latent space",
        "The KL of each dimension, the largest first, grey where the unit is not active; and the images' codes along their "
        "two components of largest variance, coloured by their first attribute.",
    ),
    "factors": (
        "Which dimension tells which factor",
        "How much a forest that tells a factor from the codes owes to each dimension: a row adds up to 1. A dark cell alone in its row "
        "and column is a factor with a dimension of its own; a pale row is one that is spread over many, or that the codes do not know.",
    ),
    "interpolation": (
        "From one image to another",
        "Between the two originals at the ends: z along a straight line and along an arc, from the same noise; and z and x_T along "
        "arcs, decoded by the probability-flow ODE.",
    ),
    "trajectory_consistency": (
        "Do the scores agree with each other?",
        "The error of the mean of E[x_0 | x_t, z] over the paths that decode one z. Of scores that agree across noise levels it is the "
        "same everywhere.",
    ),
    "noise_levels": (
        "What z is worth at each noise level",
        "The error of E[x_0 | x_t, z], and of the prior that knows no z; dashed: regressions of the images on z alone. Where the model "
        "is above those at high noise, z knows more than the model makes of it.",
    ),
    "traversal": (
        "One dimension at a time",
        "The dimensions of largest KL, each from -3 to 3 standard deviations around the code of one image.",
    ),
    "edits": (
        "Edits",
        "An image without the attribute; its decoding, unedited and at strengths 0.5, 1 and 1.5 along a linear probe's "
        "direction; last, where the data can be drawn again, the true counterfactual.",
    ),
    "neighbours": ("Nearest neighbours", "Images (left) and the training images nearest to them."),
    "latent_prior": ("New images from the latent space", "Decodings of z drawn from priors of the latent space."),
    "samples": ("New images", "Drawn from the prior, or decoded from z ~ N(0, I) where there is none."),
    "elbo_vs_steps": (
        "From a VAE to an SDE",
        "The bound of one prior against the number of its steps; how far its samples are from the training set after so many "
        "decodings, and those of a VAE that decodes, encodes and decodes again.",
    ),
    "iterated_decoding": (
        "More decodings",
        "The same noise after so many decodings, by the diffusion model and by the VAE.",
    ),
    "curves": ("Training", "The loss and its terms against the steps; faint: as logged; strong: a running mean."),
}


def write_report(path: Path, title: str, metrics: dict[str, Any], run: dict[str, Any]) -> None:
    """The tables, the pictures that lie beside `path`, every figure, and `run` (command, versions, devices) at the end."""
    sections = [_table(table) for table in tables(metrics)]
    sections += [
        _picture(file, *text) for stem, text in PICTURES.items() if (file := path.parent / f"{stem}.png").exists()
    ]
    named = "\n".join(
        f"<tr><td><code>{html.escape(name)}</code></td><td>{_value(value, metrics.get(f'{name}_stderr'))}</td></tr>"
        for name, value in metrics.items()
        if not name.endswith("_stderr") and not name.startswith("weights/")
    )
    run = run | {name: value for name, value in metrics.items() if name.startswith("weights/")}
    facts = "\n".join(f"{html.escape(name)}: {html.escape(_plain(value))}" for name, value in run.items())
    write_text(
        path,
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p class="note">Images on [0, 1]; <code>l2</code> is the mean Euclidean norm per image, <code>psnr</code> in dB; &plusmn; is one
standard error over the images. Frechet distances (<code>fd_*</code>, <code>fid</code>) grow as n falls: they compare only at
equal n, and are to be read against what real images get. Those of reconstructions are to their own originals: they may fall
below that.</p>
{chr(10).join(sections)}
<section><h2>Every figure</h2>
<div class="wide"><table>{named}</table></div></section>
<section><h2>How it was made</h2>
<pre>{facts}</pre></section>
</body></html>
""",
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *table.head))
    rows = "\n".join(
        f"<tr><td>{html.escape(name)}</td>{''.join(f'<td>{html.escape(figure(*cell))}</td>' for cell in cells)}</tr>"
        for name, cells in table.rows
    )
    return f"""<section><h2>{html.escape(table.title)}</h2>
<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"""


def _picture(file: Path, heading: str, caption: str) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    return f"""<section><h2>{html.escape(heading)}</h2><figure>
<img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">
<figcaption>{html.escape(caption)}</figcaption></figure></section>"""


def _value(value: Any, error: float | None) -> str:
    return html.escape(figure(value, error) if isinstance(value, float) else str(value))


def _plain(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
