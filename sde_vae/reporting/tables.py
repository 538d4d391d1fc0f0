"""The figures of an evaluation as tables: what a reader compares stands side by side."""

import re
from typing import Any, NamedTuple

METRICS = ("l2", "mse", "psnr", "ssim", "lpips_alex", "lpips_vgg")
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
    "reference": "other real images",
}

# Of the latent's tables: name -> what its row, or its column, is called.
PRIORS = {"normal": "z ~ N(0, I)", "gaussian": "z of a Gaussian", "diffusion": "z by diffusion"}
EDITS = {
    "success": "has the value",
    "preserved": "the rest kept",
    "true_change": "true change",
    "off_target": "other change",
    "counterfactual_distance": "distance left",
}
PATHS = {"linear": "z along a line", "slerp": "z along an arc", "inverted": "z and x_T along arcs"}
STEPS = {"ends_l2": "l2 of the ends to their images", "largest_step": "largest step over the mean"}
NEAR = {"latent": "nearest in the latent", "pixels": "nearest in pixels", "chance": "at random"}


class Table(NamedTuple):
    """The first column of each row is its name; every other cell is (value, standard error), each a number or None."""

    title: str
    head: list[str]
    rows: list[tuple[str, list[tuple[float | None, float | None]]]]


def tables(metrics: dict[str, Any]) -> list[Table]:
    """Reconstructions beside the baselines, samples, what z is worth, the latent and what is done with it, the bound, the ladder: those
    of which there are figures.
    """
    found = [
        _reconstructions(metrics),
        _samples(metrics),
        _noise_levels(metrics),
        _latents(metrics),
        _latent_priors(metrics),
        _edits(metrics),
        _interpolation(metrics),
        _neighbours(metrics),
        _bound(metrics),
        _ladder(metrics),
        _rounds(metrics),
    ]
    return [table for table in found if table.rows]


def figure(value: float | None, error: float | None = None) -> str:
    """The value to the precision that its error allows (two digits of the error), or to four digits."""
    if value is None:
        return ""
    if error is None or not 0 < error < float("inf"):
        return f"{value:.4g}"
    digits = max(0, 1 - int(f"{error:e}".split("e")[1]))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def as_text(table: Table) -> str:
    """For a terminal."""
    lines = [("", *table.head), *((name, *(figure(*cell) for cell in cells)) for name, cells in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return "\n".join([table.title, *rows])


def _reconstructions(metrics: dict[str, Any]) -> Table:
    of_sets = sorted({n.split("/")[1] for n in metrics if n.startswith("reconstruction/") and _of_sets(n)})
    names = [m for m in (*METRICS, *of_sets) if f"reconstruction/{m}" in metrics]
    named = {name: title.format(_method(metrics)) for name, title in METHODS.items()}
    methods = {name: title for name, title in named.items() if any(f"{name}/{m}" in metrics for m in names)}
    rows = [(m, [_cell(metrics, f"{name}/{m}") for name in methods]) for m in names]
    return Table(f"Reconstruction of {metrics.get('n', '?')} {_split(metrics)}", list(methods.values()), rows)


def _samples(metrics: dict[str, Any]) -> Table:
    names = [n.split("/")[1] for n in metrics if n.startswith("samples/") and _of_sets(n)]
    rows = [(name, [_cell(metrics, f"samples/{name}"), _cell(metrics, f"samples/{name}_reference")]) for name in names]
    nearest = [_cell(metrics, f"samples/nearest_train_l2{s}") for s in ("", "_of_held_out")]
    if nearest[0][0] is not None:
        rows.append(("l2 to the nearest training image", nearest))
    n, floor_n = metrics.get("samples/n", 0), metrics.get("samples/reference_n")
    real = f"{floor_n:.0f} {_split(metrics)}" if floor_n else _split(metrics)
    return Table("New images, against the training set", [f"{n:.0f} samples", real], rows)


def _noise_levels(metrics: dict[str, Any]) -> Table:
    """From the most noise to the least, and what z tells without x_t first."""
    levels = sorted({name.split("/")[1] for name in metrics if name.startswith("noise_level/")}, key=float)
    kinds = [kind for kind in ("linear", "quadratic", "kernel") if f"from_z/{kind}_mse" in metrics]
    rows = [(f"from z alone, {kind}", [_cell(metrics, f"from_z/{kind}_mse"), (None, None)]) for kind in kinds]
    columns = ("mse", "prior_mse")
    rows += [(f"logSNR {l}", [_cell(metrics, f"noise_level/{l}/{name}") for name in columns]) for l in levels]
    return Table("The mse of E[x_0 | x_t, z] at each noise level", ["with z", "without z"], rows)


def _latents(metrics: dict[str, Any]) -> Table:
    size = metrics.get("latent_dim")
    beside = {"active_units": size, "effective_dimensions": size, "total_correlation": "total_correlation_reference"}
    beside |= {"probe_accuracy": "probe_majority", "probe_average_precision": "probe_prevalence"}
    beside |= {"dci_informativeness": "dci_majority", "dci_disentanglement": None, "dci_completeness": None}
    beside |= {"mig": None, "tad": None}
    named = {name: other for name, other in beside.items() if f"latent/{name}" in metrics}
    reference = lambda other: _cell(metrics, f"latent/{other}") if isinstance(other, str) else (other, None)
    rows = [
        (name.replace("_", " "), [_cell(metrics, f"latent/{name}"), reference(other)]) for name, other in named.items()
    ]
    return Table("The latent, beside its size, chance or floor", ["value", "beside"], rows)


def _latent_priors(metrics: dict[str, Any]) -> Table:
    found = [name.split("/")[1:] for name in metrics if name.startswith("latent_prior/") and _of_sets(name)]
    columns = list(dict.fromkeys(metric for _, metric in found))
    # One of another kind comes last, under its own name.
    titles = PRIORS | {prior: prior for prior, _ in found if prior not in PRIORS}
    rows = [(title, [_cell(metrics, f"latent_prior/{p}/{m}") for m in columns]) for p, title in titles.items()]
    title = f"{metrics.get('latent_prior/n', 0):.0f} images of new z, against the training set"
    return Table(title, columns, [row for row in rows if any(value is not None for value, _ in row[1])])


def _edits(metrics: dict[str, Any]) -> Table:
    told = lambda name: metrics.get(f"latent/edit/{name}", 0)
    strengths = [name.split("/")[-1] for name in metrics if re.fullmatch(r"latent/edit/success/[\d.]+", name)]
    strengths.sort(key=float)
    columns = {f: title for f, title in EDITS.items() if any(f"latent/edit/{f}/{k}" in metrics for k in strengths)}
    row = lambda k: f"strength {k}" if float(k) else "as decoded"
    rows = [(row(k), [_cell(metrics, f"latent/edit/{f}/{k}") for f in columns]) for k in strengths]
    title = f"Edits to {told('targets'):.0f} values of attributes, {told('images'):.0f} images each"
    return Table(f"{title}; the judge is right on {told('classifier_accuracy'):.0%}", list(columns.values()), rows)


def _interpolation(metrics: dict[str, Any]) -> Table:
    found = {p: title for p, title in PATHS.items() if f"latent/interpolation/{p}/ends_l2" in metrics}
    rows = [(title, [_cell(metrics, f"latent/interpolation/{p}/{s}") for s in STEPS]) for p, title in found.items()]
    title = f"Interpolations of {metrics.get('latent/interpolation/pairs', 0):.0f} pairs of images"
    return Table(title, list(STEPS.values()), rows)


def _neighbours(metrics: dict[str, Any]) -> Table:
    told = lambda name: f"{metrics.get(f'latent/neighbours/{name}', 0):.0f}"
    rows = [(title, [_cell(metrics, f"latent/neighbours/{n}")]) for n, title in NEAR.items()]
    title = f"The {told('k')} nearest of {told('among')} training images: the share with an image's own first attribute"
    return Table(title, ["share"], [row for row in rows if row[1][0][0] is not None])


def _bound(metrics: dict[str, Any]) -> Table:
    terms = ("kl", "prior", "diffusion", "reconstruction", "total")
    models = {_method(metrics): "bits_per_dim", "the prior alone": "prior/bits_per_dim"}
    rows = [(title, [_cell(metrics, f"{name}/{term}") for term in terms]) for title, name in models.items()]
    return Table("The evidence bound, bits/dim", list(terms), [row for row in rows if row[1][-1][0] is not None])


def _ladder(metrics: dict[str, Any]) -> Table:
    columns = {"equal in t": "uniform_t", "equal in logSNR": "uniform_log_snr", "variances fitted": "fitted"}
    # In a file the names are in the order of the alphabet.
    steps = sorted(
        (name.split("/")[-1] for name in metrics if re.fullmatch(r"elbo_vs_steps/uniform_t/\d+", name)), key=int
    )
    rows = [(f"T = {T}", [_cell(metrics, f"elbo_vs_steps/{name}/{T}") for name in columns.values()]) for T in steps]
    for title, name in (("T → ∞", "continuous"), ("the ODE", "ode")):
        rows += [(title, [_cell(metrics, f"elbo_vs_steps/{name}")] + [(None, None)] * 2)] if rows else []
    title = f"The prior as a hierarchy of T latents, bits/dim of {metrics.get('elbo_vs_steps/n', 0):.0f} images"
    return Table(title, list(columns), rows)


def _rounds(metrics: dict[str, Any]) -> Table:
    columns = {"diffusion": "diffusion", "VAE, again and again": "vae"}
    found = [name for name in metrics if name.startswith("iterated_decoding/diffusion/")]
    found.sort(key=lambda name: int(name.split("/")[3]))
    rows = [
        (name.split("/")[3], [_cell(metrics, name.replace("diffusion", c)) for c in columns.values()]) for name in found
    ]
    return Table(f"Samples after so many decodings, {found[0].split('/')[-1]}" if found else "", list(columns), rows)


def _of_sets(name: str) -> bool:
    last = name.split("/")[-1]
    return last.startswith(("fd_", "kid_", "fid")) and not last.endswith(("_stderr", "_reference"))


def _method(metrics: dict[str, Any]) -> str:
    return metrics.get("method", "ScoreVAE")


def _split(metrics: dict[str, Any]) -> str:
    return f"{metrics.get('split', 'held-out')} images"


def _cell(metrics: dict[str, Any], name: str) -> tuple[float | None, float | None]:
    return metrics.get(name), metrics.get(f"{name}_stderr")
