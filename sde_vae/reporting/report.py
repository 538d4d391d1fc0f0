"""report.html: one page with everything in it, for a phone, a desktop and print, without a network."""

import base64
import html
from pathlib import Path
from typing import Any, NamedTuple

from sde_vae.files import write_text
from sde_vae.printing import printable
from sde_vae.reporting.style import STYLE
from sde_vae.reporting.tables import Table, figure, headline, tables

# Stem of a figure's file -> (heading, caption), in the order of the page.
FIGURES = {
    "reconstructions": ("Reconstructions", "The first images of the split and their reconstructions."),
    "restorations": (
        "Restorations",
        "What is observed, at the size of the images; the truth; draws from p(x | y); their mean; and their standard deviation.",
    ),
    "worst": ("Worst reconstructions", "The images with the largest l2, the worst first."),
    "trajectory": (
        "Decoding trajectories",
        "From noise (left) to image (right), from the posterior means of three images: x_t at half contrast, and E[x_0 | x_t, z].",
    ),
    "inversion": (
        "Reconstruction from z and x_T",
        "Decoded from z and the x_T that the probability-flow ODE assigns to the image. That x_T, in the last row, contains what z "
        "leaves out.",
    ),
    "multi_sample": (
        "Estimates from several decodings",
        "The mean of several decodings of each image, and one evaluation of the score at t = T.",
    ),
    "latents": (
        "The latent space",
        "Top: the KL of each dimension, the largest first; inactive dimensions are grey. Bottom: the images' latent codes in the plane of "
        "their two largest principal components, coloured by the first attribute.",
    ),
    "factors": (
        "Dimensions and factors",
        "The importance of each dimension to a random forest that predicts a factor from the codes. Each row sums to 1. A dark cell alone "
        "in its row and column is a factor with a dimension of its own. A pale row is a factor spread over many dimensions, or one that "
        "the codes do not contain.",
    ),
    "interpolation": (
        "Interpolation",
        "Originals at both ends. In between, z along a line and along an arc from one random x_T; and z and x_T along arcs, decoded by the "
        "probability-flow ODE.",
    ),
    "traversal": (
        "Traversal of single dimensions",
        "The dimensions of largest KL, each from -3 to 3 standard deviations around the code of one image.",
    ),
    "trajectory_consistency": (
        "Consistency across noise levels",
        "Error of the mean of E[x_0 | x_t, z] over the trajectories that decode one z. If the scores agree across noise levels, it is the same "
        "at all of them.",
    ),
    "noise_levels": (
        "Error at each noise level",
        "Error of E[x_0 | x_t, z] with z, with the z of another image, and of the prior without z. Only the difference between z and "
        "shuffled z is information in z: a gain over the prior may be a correction of the prior's errors. Dashed: regressions of the images "
        "on z alone; where the model is above them at high noise, z contains more than the model uses.",
    ),
    "edits": (
        "Edits",
        "An image without the attribute value; its decoding, unedited and at rising strengths along a linear probe's direction; last, where "
        "the data can be rendered again, the true counterfactual.",
    ),
    "neighbours": ("Nearest neighbours", "Images (left) and the training images nearest to them."),
    "latent_prior": ("Images from new latent codes", "Decodings of z drawn from priors of the latent space."),
    "samples": ("New images", "Samples of the prior, or decodings of z ~ N(0, I) for a method without a prior."),
    "labels": (
        "New images of given classes",
        "Fidelity against diversity. Top: the share of new images in which a classifier of real images finds the class that was asked for. "
        "Middle: their variance within a class over that of the training images; below 1 the samples of a class are too much alike. Bottom: "
        "the distance to the training images, of all and of each class. Dashed: the same of real images that were held out.",
    ),
    "label_samples": (
        "Classes by guidance",
        "The same noise and classes at every guidance: 0 is the model without labels, 1 that of the class.",
    ),
    "elbo_vs_steps": (
        "From a VAE to an SDE",
        "Top: the bound of the prior against its number of steps. Bottom: the distance of samples to the training set against the number of "
        "decodings, for the diffusion model and for a VAE that decodes and encodes again.",
    ),
    "iterated_decoding": (
        "Iterated decoding",
        "The same noise after several decodings, by the diffusion model and by the VAE.",
    ),
    "curves": ("Training", "Loss and its terms against the steps. Faint: as logged; strong: a running mean."),
}

NOTE = """Images are on [0, 1]. <code>l2</code> is the mean Euclidean norm per image, <code>psnr</code> is in dB. &plusmn; is one
standard error over the images. &darr;: lower is better; &uarr;: higher is better. Fr&eacute;chet distances (<code>fd_*</code>,
<code>fid</code>) grow as the number of images falls: compare them only at equal numbers, and with that of real images. Those of
reconstructions are to their own originals and may be below that of other real images."""

# A table with more columns takes the whole width.
NARROW = 3


class Section(NamedTuple):
    """A part of the page: the anchor of its link, its heading, its content as HTML, and whether it needs the whole width."""

    anchor: str
    heading: str
    content: str
    wide: bool = False


def write_report(path: Path, title: str, metrics: dict[str, Any], run: dict[str, Any]) -> None:
    """Write the page: a headline, contents, tables, the figures beside `path`, all metrics, and how the run was made.

    `run` maps a name to a value or to a dict of values, in the order of the page.
    """
    of_tables = [_table(number, table) for number, table in enumerate(tables(metrics), start=1)]
    of_figures = [
        _figure(file, *text) for stem, text in FIGURES.items() if (file := path.parent / f"{stem}.png").exists()
    ]
    weights = {name.removeprefix("weights/"): v for name, v in metrics.items() if name.startswith("weights/")}
    made = _made(run | ({"weights of metric networks": weights} if weights else {}))
    last = [Section("all", "All metrics", _metrics(metrics)), Section("made", "How it was made", made)]
    contents = "\n".join(
        f'<li><a href="#{section.anchor}">{_text(section.heading)}</a></li>'
        for section in (*of_tables, *of_figures, *last)
    )
    lead = headline(metrics)
    write_text(
        path,
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{_text(title)}</title><style>{STYLE}</style></head><body>
<h1>{_text(title)}</h1>
{f'<p class="headline">{_text(lead)}</p>' if lead else ""}
<nav><ul>
{contents}
</ul></nav>
<p class="note">{NOTE}</p>
<div class="tables">
{_html(of_tables)}
</div>
<div class="figures">
{_html(of_figures)}
</div>
{_html(last)}
</body></html>
""",
    )


def _html(sections: list[Section]) -> str:
    return "\n".join(
        f'<section id="{s.anchor}"{" class=span" * s.wide}><h2>{_text(s.heading)}</h2>\n{s.content}</section>'
        for s in sections
    )


def _table(number: int, table: Table) -> Section:
    """A table; on a phone each row is a block, with the heading of each cell beside it."""
    head = "".join(f"<th>{_text(name)}</th>" for name in ("", *table.head))
    cell = lambda name, values: f'<td data-head="{_text(name)}">{_text(figure(*values))}</td>'
    rows = "\n".join(
        f"<tr><th>{_text(name)}</th>{''.join(map(cell, table.head, cells))}</tr>" for name, cells in table.rows
    )
    content = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></div>'
    return Section(f"table-{number}", table.title, content, wide=len(table.head) > NARROW)


def _figure(file: Path, heading: str, caption: str) -> Section:
    data = base64.b64encode(file.read_bytes()).decode()
    content = f"""<figure><img alt="{_text(caption)}" src="data:image/png;base64,{data}">
<figcaption>{_text(caption)}</figcaption></figure>"""
    return Section(file.stem, heading, content)


def _metrics(metrics: dict[str, Any]) -> str:
    names = [name for name in metrics if not name.endswith("_stderr") and not name.startswith("weights/")]
    rows = "\n".join(
        f"<div><dt><code>{_text(name)}</code></dt><dd>{_value(metrics[name], metrics.get(f'{name}_stderr'))}</dd></div>"
        for name in names
    )
    return f'<dl class="metrics">{rows}</dl>'


def _made(run: dict[str, Any]) -> str:
    def value(value: Any) -> str:
        if not isinstance(value, dict):
            return _text(str(value))
        items = (f"<li><code>{_text(k)}</code> {_text(str(v))}</li>" for k, v in value.items())
        return f"<ul>{''.join(items)}</ul>"

    return f'<dl class="made">{"".join(f"<dt>{_text(k)}</dt><dd>{value(v)}</dd>" for k, v in run.items())}</dl>'


def _value(value: Any, error: float | None) -> str:
    return _text(figure(value, error) if isinstance(value, float) else str(value))


def _text(text: str) -> str:
    """Return a text as HTML; what no page can show is escaped."""
    return html.escape(printable(text))
