"""The metrics of an evaluation as tables, and as one line: figures to be compared stand side by side."""

import math
import re
from typing import Any, NamedTuple

METRICS = ("l2", "mse", "standardised_mse", "psnr", "ssim", "lpips_alex", "lpips_vgg")
# "{}" is the method's own name.
METHODS = {
    "reconstruction": "{}",
    "reconstruction_of_mean": "{}, mean z",
    "multi_sample_mean": "{}, mean of decodings",
    "multi_sample": "{}, all decodings",
    "one_step": "{}, E[x_0 | x_T, z]",
    "inversion": "{}, z and x_T",
    "baseline/pca": "PCA",
    "baseline/mean_image": "mean image",
    "baseline/mean": "mean",
    "reference": "other real images",
}
PRIORS = {"normal": "z ~ N(0, I)", "gaussian": "z of a Gaussian", "diffusion": "z by diffusion"}
# Rows or columns of the tables of the latent space: metric -> heading.
EDITS = {
    "success": "success ↑",
    "preserved": "others preserved ↑",
    "true_change": "true change → 1",
    "off_target": "off-target change ↓",
    "counterfactual_distance": "distance to the counterfactual ↓",
}
PATHS = {"linear": "z along a line", "slerp": "z along an arc", "inverted": "z and x_T along arcs"}
STEPS = {"ends_l2": "l2 of the ends to their images ↓", "largest_step": "largest step / mean step ↓"}
NEAR = {"latent": "nearest latent codes", "pixels": "nearest images", "chance": "at random"}
# Latent metric -> (its heading, the metric or fact beside it).
LATENT = {
    "active_units": ("active dimensions", "latent_dim"),
    "effective_dimensions": ("effective dimensions", "latent_dim"),
    "total_correlation": ("total correlation, nats ↓", "latent/total_correlation_reference"),
    "probe_accuracy": ("probe accuracy ↑", "latent/probe_majority"),
    "probe_average_precision": ("probe average precision ↑", "latent/probe_prevalence"),
    "dci_informativeness": ("DCI informativeness ↑", "latent/dci_majority"),
    "dci_disentanglement": ("DCI disentanglement ↑", None),
    "dci_completeness": ("DCI completeness ↑", None),
    "mig": ("MIG ↑", None),
    "tad": ("TAD ↑", None),
}
# Metrics of the draws of a restoration.
DRAWS = {
    "consistency": "consistency with y",
    "energy_score": "energy score",
    "crps": "CRPS",
    "diversity": "diversity",
}
# Values outside of this range are written with a power of ten.
PLAIN = (1e-3, 1e5)
# A standard error below this share of its value is rounding: figures are float32.
ROUNDING = 1e-7
Cell = tuple[int | float | None, int | float | None]
NONE: Cell = (None, None)


class Table(NamedTuple):
    """The first column of each row is its name; every other cell is (value, standard error), each a number or None."""

    title: str
    head: list[str]
    rows: list[tuple[str, list[Cell]]]


def tables(metrics: dict[str, Any]) -> list[Table]:
    """Return the tables of which there are figures: reconstructions beside the baselines, samples, noise levels, the latent space, bounds."""
    found = [
        _reconstructions(metrics),
        _restorations(metrics),
        _samples(metrics),
        _of_classes(metrics),
        _new_examples(metrics),
        _noise_levels(metrics),
        _latents(metrics),
        _latent_priors(metrics),
        _edits(metrics),
        _interpolation(metrics),
        _neighbours(metrics),
        _bound(metrics),
        _nll_bound(metrics),
        _elbo_vs_steps(metrics),
        _iterated_decoding(metrics),
    ]
    return [table for table in found if table.rows]


def headline(metrics: dict[str, Any]) -> str:
    """Return one line that says how good the model is and against what, or "" if nothing comparable was evaluated.

    >>> headline({"reconstruction/l2": 0.6811, "reconstruction/l2_stderr": 0.012, "baseline/mean_image/l2": 2.1558})
    'Reconstruction l2 0.681 ± 0.012 (lower is better); the mean image 2.156.'
    """
    cell = lambda name: figure(*_cell(metrics, name))
    if "reconstruction/l2" in metrics:
        components = f" with {metrics['latent_dim']} components" if "latent_dim" in metrics else ""
        others = {
            "baseline/pca": f"PCA{components}",
            "baseline/mean_image": "the mean image",
            "baseline/mean": "the mean",
        }
        parts = [f"Reconstruction l2 {cell('reconstruction/l2')} (lower is better)"]
        parts += [f"{title} {metrics[f'{name}/l2']:.3f}" for name, title in others.items() if f"{name}/l2" in metrics]
        return "; ".join(parts) + "."
    if "bits_per_dim/total" in metrics:
        parts = [f"Bound {cell('bits_per_dim/total')} bits/dim (lower is better)"]
        parts += [f"the prior alone {cell(n)}" for n in ("prior/bits_per_dim/total",) if n in metrics]
        return "; ".join(parts) + "."
    return ""


def figure(value: int | float | None, error: int | float | None = None) -> str:
    """Format a value to two digits of its standard error, or to four digits without one; far from 1 with a power of ten.

    >>> figure(0.7301, 0.0134), figure(4.3e-9, 2.2e-9), figure(0.00001234)
    ('0.730 ± 0.013', '(4.3 ± 2.2)e-9', '1.234e-5')
    """
    if value is None:
        return ""
    # Equal values have an error of the size of their rounding.
    if error is None or not ROUNDING * abs(value) < error < float("inf"):
        if not _is_plain(abs(value)):
            mantissa, power = f"{value:.3e}".split("e")
            return f"{float(mantissa):g}e{int(power)}"
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    largest = max(abs(value), error)
    power = 0 if _is_plain(largest) else math.floor(math.log10(largest))
    value, error = value / 10.0**power, error / 10.0**power
    digits = max(0, 1 - int(f"{error:e}".split("e")[1]))
    text = f"{value:.{digits}f} ± {error:.{digits}f}"
    return f"({text})e{power}" if power else text


def as_text(table: Table) -> str:
    """Lay a table out for a terminal."""
    lines = [("", *table.head), *((name, *(figure(*cell) for cell in cells)) for name, cells in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return "\n".join([table.title, *rows])


def with_arrow(metric: str) -> str:
    """Return the name of an image or set distance with an arrow to what is better: "l2 ↓", "psnr ↑"."""
    return f"{metric} {'↑' if metric in ('psnr', 'ssim') else '↓'}"


def _reconstructions(metrics: dict[str, Any]) -> Table:
    set_distances = sorted(
        {n.split("/")[1] for n in metrics if n.startswith("reconstruction/") and _is_set_distance(n)}
    )
    names = [m for m in (*METRICS, *set_distances) if f"reconstruction/{m}" in metrics]
    titles = {name: title.format(_method(metrics)) for name, title in METHODS.items()}
    methods = {name: title for name, title in titles.items() if any(f"{name}/{m}" in metrics for m in names)}
    rows = [(with_arrow(m), [_cell(metrics, f"{name}/{m}") for name in methods]) for m in names]
    return Table(f"Reconstruction of {metrics.get('n', '?')} {_split(metrics)}", list(methods.values()), rows)


def _restorations(metrics: dict[str, Any]) -> Table:
    columns = {f"{_method(metrics)}, one draw": "restoration", "mean of the draws": "restoration_of_mean"}
    names = [m for m in METRICS if f"restoration/{m}" in metrics]
    rows = [(with_arrow(m), [_cell(metrics, f"{name}/{m}") for name in columns.values()]) for m in names]
    distances = [n.split("/")[1] for n in metrics if n.startswith("restoration/") and "fd_" in n]
    headings = {name: f"{heading} ↓" for name, heading in DRAWS.items()} | {n: with_arrow(n) for n in distances}
    headings |= {"diversity": DRAWS["diversity"]}
    found = {name: heading for name, heading in headings.items() if f"restoration/{name}" in metrics}
    rows += [(heading, [_cell(metrics, f"restoration/{name}"), NONE]) for name, heading in found.items()]
    nominal = metrics.get("restoration/coverage_nominal")
    if nominal is not None:
        rows.append((f"coverage → {nominal:.3f}", [_cell(metrics, "restoration/coverage"), NONE]))
    draws = metrics.get("restoration/draws", 0)
    return Table(f"{draws:.0f} restorations of each of {metrics.get('n', '?')} {_split(metrics)}", list(columns), rows)


def _samples(metrics: dict[str, Any]) -> Table:
    names = [n.split("/")[1] for n in metrics if n.startswith("samples/") and _is_set_distance(n)]
    both = lambda name, end: [_cell(metrics, f"samples/{name}"), _cell(metrics, f"samples/{name}{end}")]
    rows = [(with_arrow(name), both(name, "_reference")) for name in names]
    nearest = both("nearest_train_l2", "_of_held_out")
    if nearest[0] != NONE:
        rows.append(("l2 to the nearest training image", nearest))
    n, reference_n = metrics.get("samples/n", 0), metrics.get("samples/reference_n")
    real = f"{reference_n:.0f} {_split(metrics)}" if reference_n else _split(metrics)
    return Table("New images, against the training set", [f"{n:.0f} samples", real], rows)


def _of_classes(metrics: dict[str, Any]) -> Table:
    """Return the table of new images of given classes: a row for each guidance, then the same of real images."""
    at = [name.split("/")[2] for name in metrics if re.fullmatch(r"labels/accuracy/-?[\d.]+", name)]
    at.sort(key=float)
    found = {name.split("/")[1] for name in metrics if name.startswith("labels/")}
    distances = sorted(filter(_is_set_distance, found))
    columns = {"accuracy": "accuracy ↑", "variance": "variance within classes → 1"}
    columns |= {d: with_arrow(d) for d in distances} | {f"class_{d}": f"{with_arrow(d)} of a class" for d in distances}
    columns = {c: head for c, head in columns.items() if any(f"labels/{c}/{w}" in metrics for w in at)}
    titles = {w: f"guidance {w}" for w in at} | {"reference": _split(metrics)}
    rows = [(title, [_cell(metrics, f"labels/{c}/{w}") for c in columns]) for w, title in titles.items()]
    title = f"{metrics.get('labels/n', 0):.0f} new images of given classes, by guidance"
    return Table(title, list(columns.values()), rows if at else [])


def _new_examples(metrics: dict[str, Any]) -> Table:
    """Return the table of new examples of arrays that are no images: errors of their moments, and the sliced Wasserstein distance."""
    found = {
        "error of the mean": "moments/mean_error",
        "error of the standard deviation": "moments/std_error",
        "error of the covariance": "moments/covariance_error",
        "sliced Wasserstein distance": "sliced_wasserstein/w2",
    }
    rows = [
        (f"{title} ↓", [_cell(metrics, name), _cell(metrics, f"{name}_reference")])
        for title, name in found.items()
        if name in metrics
    ]
    n = metrics.get("moments/n", metrics.get("sliced_wasserstein/n", 0))
    title = f"New examples, standardised, against the {metrics.get('split', 'held-out')} split"
    return Table(title, [f"{n:.0f} samples", "training examples"], rows)


def _noise_levels(metrics: dict[str, Any]) -> Table:
    """From the most noise to the least, after the regressions on z alone."""
    levels = sorted({name.split("/")[1] for name in metrics if name.startswith("noise_level/")}, key=float)
    columns = {"mse": "with z ↓", "shuffled_mse": "z shuffled", "prior_mse": "without z"}
    columns = {c: head for c, head in columns.items() if any(f"noise_level/{l}/{c}" in metrics for l in levels)}
    kinds = [kind for kind in ("linear", "quadratic", "kernel") if f"from_z/{kind}_mse" in metrics]
    blank = [NONE] * (len(columns) - 1)
    rows = [(f"from z alone, {kind}", [_cell(metrics, f"from_z/{kind}_mse"), *blank]) for kind in kinds]
    rows += [(f"logSNR {l}", [_cell(metrics, f"noise_level/{l}/{name}") for name in columns]) for l in levels]
    return Table(
        "Mean squared error of E[x_0 | x_t, z] at each noise level", list(columns.values()) or ["with z ↓"], rows
    )


def _latents(metrics: dict[str, Any]) -> Table:
    found = {name: rest for name, rest in LATENT.items() if f"latent/{name}" in metrics}
    rows = [
        (heading, [_cell(metrics, f"latent/{name}"), _cell(metrics, reference) if reference else NONE])
        for name, (heading, reference) in found.items()
    ]
    return Table("The latent space", ["value", "size, chance or reference"], rows)


def _latent_priors(metrics: dict[str, Any]) -> Table:
    found = [name.split("/")[1:] for name in metrics if name.startswith("latent_prior/") and _is_set_distance(name)]
    columns = list(dict.fromkeys(metric for _, metric in found))
    # Another prior comes last, under its own name.
    titles = PRIORS | {prior: prior for prior, _ in found if prior not in PRIORS}
    rows = [(title, [_cell(metrics, f"latent_prior/{p}/{m}") for m in columns]) for p, title in titles.items()]
    title = f"{metrics.get('latent_prior/n', 0):.0f} images decoded from new z, against the training set"
    return Table(title, [with_arrow(m) for m in columns], [row for row in rows if any(c != NONE for c in row[1])])


def _edits(metrics: dict[str, Any]) -> Table:
    of = lambda name: metrics.get(f"latent/edit/{name}", 0)
    strengths = [name.split("/")[-1] for name in metrics if re.fullmatch(r"latent/edit/success/[\d.]+", name)]
    strengths.sort(key=float)
    columns = {f: title for f, title in EDITS.items() if any(f"latent/edit/{f}/{k}" in metrics for k in strengths)}
    row = lambda k: f"strength {k}" if float(k) else "without an edit"
    rows = [(row(k), [_cell(metrics, f"latent/edit/{f}/{k}") for f in columns]) for k in strengths]
    title = f"Edits to {of('targets'):.0f} attribute values, {of('images'):.0f} images each"
    return Table(f"{title}; classifier accuracy {of('classifier_accuracy'):.0%}", list(columns.values()), rows)


def _interpolation(metrics: dict[str, Any]) -> Table:
    found = {p: title for p, title in PATHS.items() if f"latent/interpolation/{p}/ends_l2" in metrics}
    rows = [(title, [_cell(metrics, f"latent/interpolation/{p}/{s}") for s in STEPS]) for p, title in found.items()]
    title = f"Interpolation between {metrics.get('latent/interpolation/pairs', 0):.0f} pairs of images"
    return Table(title, list(STEPS.values()), rows)


def _neighbours(metrics: dict[str, Any]) -> Table:
    of = lambda name: f"{metrics.get(f'latent/neighbours/{name}', 0):.0f}"
    rows = [(title, [_cell(metrics, f"latent/neighbours/{n}")]) for n, title in NEAR.items()]
    title = f"The {of('k')} nearest of {of('among')} training images"
    return Table(title, ["share with the same first attribute ↑"], [row for row in rows if row[1][0] != NONE])


def _bound(metrics: dict[str, Any]) -> Table:
    return _terms(metrics, "bits_per_dim", "Evidence bound, bits/dim")


def _nll_bound(metrics: dict[str, Any]) -> Table:
    table = _terms(metrics, "nll_bound", "Evidence bound on -log of the density, nats per example")
    gaussian = _cell(metrics, "baseline/nll_bound/gaussian")
    more = [] if gaussian == NONE else [("a Gaussian of the training split, exact", [*[NONE] * 4, gaussian])]
    return table._replace(rows=[*table.rows, *more])


def _terms(metrics: dict[str, Any], bound: str, title: str) -> Table:
    """The terms of each model, and differences of totals: the gain over the shuffled z leaves the KL out."""
    terms = ("kl", "prior", "diffusion", "reconstruction", "total")
    method = _method(metrics)
    models = {method: bound, f"{method}, z shuffled": f"shuffled/{bound}"}
    models |= {"the prior alone": f"prior/{bound}"}
    rows = [(title, [_cell(metrics, f"{name}/{term}") for term in terms]) for title, name in models.items()]
    differences = {
        f"{method} less its prior": "above_prior",
        "gain of z over shuffled z, without the KL": "gain_over_shuffled",
    }
    rows += [(title, [*[NONE] * 4, _cell(metrics, f"{bound}/{name}")]) for title, name in differences.items()]
    return Table(title, [*terms[:-1], "total ↓"], [row for row in rows if row[1][-1] != NONE])


def _elbo_vs_steps(metrics: dict[str, Any]) -> Table:
    columns = {"equal in t": "uniform_t", "equal in logSNR": "uniform_log_snr", "variances fitted": "fitted"}
    steps = [name.split("/")[-1] for name in metrics if re.fullmatch(r"elbo_vs_steps/uniform_t/\d+", name)]
    # A file of metrics has its names in alphabetical order.
    steps.sort(key=int)
    rows = [(f"T = {T}", [_cell(metrics, f"elbo_vs_steps/{name}/{T}") for name in columns.values()]) for T in steps]
    for title, name in (("T → ∞", "continuous"), ("the ODE", "ode")):
        rows += [(title, [_cell(metrics, f"elbo_vs_steps/{name}")] + [NONE] * 2)] if rows else []
    title = f"The prior as a hierarchy of T latents, bits/dim ↓ of {metrics.get('elbo_vs_steps/n', 0):.0f} images"
    return Table(title, list(columns), rows)


def _iterated_decoding(metrics: dict[str, Any]) -> Table:
    columns = {"diffusion model": "diffusion", "VAE, decoded and encoded again": "vae"}
    found = [name for name in metrics if name.startswith("iterated_decoding/diffusion/")]
    found.sort(key=lambda name: int(name.split("/")[2]))
    rows = [
        (name.split("/")[2], [_cell(metrics, name.replace("diffusion", c)) for c in columns.values()]) for name in found
    ]
    title = f"Samples by the number of decodings, {with_arrow(found[0].split('/')[-1])}" if found else ""
    return Table(title, list(columns), rows)


def _is_set_distance(name: str) -> bool:
    last = name.split("/")[-1]
    return last.startswith(("fd_", "kid_", "fid")) and not last.endswith(("_stderr", "_reference"))


def _is_plain(size: int | float) -> bool:
    return bool(size == 0 or PLAIN[0] <= size < PLAIN[1])


def _method(metrics: dict[str, Any]) -> str:
    return metrics.get("method", "ScoreVAE")


def _split(metrics: dict[str, Any]) -> str:
    return f"{metrics.get('split', 'held-out')} images"


def _cell(metrics: dict[str, Any], name: str) -> Cell:
    return metrics.get(name), metrics.get(f"{name}_stderr")
