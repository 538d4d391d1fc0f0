"""The comparison as a table, and as a file for whoever computes with it."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import compare_latents
from compare_glance import glance
from compare_paired import LEVEL, of_beta_vae, of_uncorrected, paired
from compare_rows import DRAWS
from compare_seeds import Cell, cell, over_seeds
from record import RESULTS, markdown, record

from sde_vae.errors import BadInput

COLUMNS = {
    "l2": "reconstruction/l2",
    "l2, mean z": "reconstruction_of_mean/l2",
    "l2, average": "average/l2",
    "l2, one step": "one_step/l2",
    "mse": "reconstruction/mse",
    "mse, limit": "average/limit_mse",
    "mse, from z alone": "from_z/kernel_mse",
    "psnr": "reconstruction/psnr",
    "ssim": "reconstruction/ssim",
    "LPIPS, the paper's rule": "paper/lpips_alex",
    "LPIPS": "reconstruction/lpips_alex",
    "LPIPS, mean z": "reconstruction_of_mean/lpips_alex",
    "LPIPS, average": "average/lpips_alex",
    "rFD": "reconstruction/{fd}",
    "rFD, mean z": "reconstruction_of_mean/{fd}",
    "rFD, all": "decodings/{fd}",
    "rKID": "reconstruction/{kid}",
    "KL": "latent/kl",
    "bits/dim": "bits_per_dim/total",
    "bits/dim, prior": "prior/bits_per_dim/total",
    "above the prior": "bits_per_dim/above_prior",
    "NFE": "reconstruction/nfe",
    "seconds": "seconds/own",
    "with the prior": "seconds/all",
}
FIRST = ("latents", "method", "seeds")
PAPER = "l2, the paper's rule"
PAIRED = {
    "Less the beta-VAE's of equal beta (with draws, of that with draws)": of_beta_vae,
    "ScoreVAE+'s less ScoreVAE's on the same encoder": of_uncorrected,
}
SEED_BY_SEED = (
    "seed by seed, on the same test images; ± is one standard error over the seeds, and a star says that Student's interval of "
    f"{LEVEL:.0%} does not hold 0; of so many cells one in twenty would have one by chance."
)
BASELINES = {"baseline/mean_image": "mean image", "baseline/pca": "PCA"}
Found = list[dict[str, Any]]
# Draw(found, column -> metric, path)
Draw = Callable[[Found, dict[str, str], Path], None]


class Page(NamedTuple):
    """What a page says of itself: results/NAME.{json,md,png}, of a table and a data set; the command that makes all of it."""

    name: str
    table: str
    data: str
    budget: str
    command: str


def write(page: Page, found: Found, draw: Draw) -> None:
    """The figures, the tables with what is to be said of them, and the picture."""
    first = found[0]["metrics"]
    fd, kid = (
        next(name.split("/")[1] for name in first if name.startswith(starts))
        for starts in (("reconstruction/fd_", "reconstruction/fid"), "reconstruction/kid_")
    )
    names, of_z = (
        {column: metric.format(fd=fd, kid=kid) for column, metric in columns.items()}
        for columns in (COLUMNS, compare_latents.COLUMNS)
    )
    figures, table, latents = [], [[*FIRST, PAPER, *names]], [[*FIRST, *of_z]]
    for latent in sorted({run["latent"] for run in found}):
        for title, runs in _of_latent([run for run in found if run["latent"] == latent]).items():
            told = {column: over_seeds(runs, name) for column, name in names.items()}
            # The paper tests a VAE with the posterior's mean, and everything else with one sample.
            told = {PAPER: told["l2, mean z" if runs[0].get("method") == "beta-VAE" else "l2"], **told}
            told_z = {column: over_seeds(runs, name) for column, name in of_z.items()}
            of_each = {column: [over_seeds([run], name)[0] for run in runs] for column, name in (of_z | names).items()}
            figures.append(
                {"method": title, "latent": latent, "seeds": of_each} | _flat(told_z | told) | _noise_levels(runs)
            )
            first_cells = [str(latent), title, str(len(runs))]
            table.append([*first_cells, *(cell(*figures_of) for figures_of in told.values())])
            latents.append([*first_cells, *(cell(*figures_of) for figures_of in told_z.values())])
    table, latents = compact(table), compact(latents)
    notes = _of_columns(_notes(found, fd, kid, page.budget), table)
    if len(latents) > 1:
        of_latents = "What is in the latents. " + _of_columns(compare_latents.NOTES, latents)
        notes = "\n".join([notes, "", *markdown(latents), "", of_latents])
    head, *rows = glance(figures, list(dict.fromkeys([*BASELINES.values(), *(run["row"].title for run in found)])))
    notes = "\n".join(["All of it, with standard errors:", "", *markdown(table), "", notes])
    figure = lambda run, column: _told(run).get(names[column])
    for of_what, is_reference in PAIRED.items() if page.table == "compare" else ():
        if differences := paired(found, figure, is_reference):
            notes = "\n".join([notes, "", f"{of_what}, {SEED_BY_SEED}", "", *markdown(differences)])
    draw(found, names, RESULTS / f"{page.name}.png")
    record(
        page.name,
        f"{page.table.capitalize()}: {page.data}",
        {"rows": figures, "n": first["n"], "fd": fd, "budget": page.budget},
        head,
        rows,
        notes,
        command=page.command,
        **provenance(found),
    )


def check(name: str, found: Found) -> None:
    """Raises BadInput if results/NAME.json tells of rows that are not found: they would be lost."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return
    told = {(row["latent"], row["method"]) for row in json.loads(path.read_text())["figures"]["rows"]}
    have = {(run["latent"], run["row"].title) for run in found} | {
        (latent, b) for latent, _ in told for b in BASELINES.values()
    }
    if lost := sorted(told - have):
        raise BadInput(
            f"{path}: tells of {lost[0][1]!r} with {lost[0][0]} latents, and {RESULTS / 'rows' / name} does not; take another --name"
        )


def provenance(found: Found) -> dict[str, Any]:
    """Where the rows were made, for `record`."""
    made = [run["made"] for run in found]
    versions = {package: {one["versions"][package] for one in made} for package in made[0]["versions"]}
    return {
        "machine": "; ".join(sorted({one["machine"] for one in made})),
        "versions": {package: " or ".join(sorted(of)) for package, of in versions.items()},
    }


def compact(table: list[list[str]]) -> list[list[str]]:
    """Without the columns that nobody has, and without the rows of whom nothing is told. The first row is the head."""
    head, *rows = table
    rows = [row for row in rows if any(row[len(FIRST) :])]
    told = [i for i in range(len(head)) if any(row[i] for row in rows)]
    return [[row[i] for i in told] for row in (head, *rows)]


def _of_columns(notes: dict[str, str], table: list[list[str]]) -> str:
    return " ".join(text for column, text in notes.items() if text and column in table[0])


def _notes(found: Found, fd: str, kid: str, budget: str) -> dict[str, str]:
    """Column -> what is to be said if it is in the table."""
    first = found[0]["metrics"]
    decodings = max(run["metrics"].get("average/decodings", 0) for run in found)
    # By the prior that they ask for, and by that which they stood on.
    priors = {
        (
            run["seed"],
            tuple(v for n, v in sorted(run["row"].changes.items()) if n.startswith("prior.")),
            run["made"]["prior"],
        )
        for run in found
        if run["row"].has_prior
    }
    retrained = " The rows of a seed stand on priors that were trained alike, from the same seed, on several machines."
    drawn = (
        f" `and draws`: {DRAWS['draws.share']:.0%} of what is trained on are {DRAWS['draws.n']:,} images that the prior of the seed has drawn, by the solver of the "
        "decodings; the seconds leave the drawing out."
    )
    swapped = " `by another seed's prior` decodes with one that the encoder has not seen."
    return {
        "method": f"{first['n']} held-out images (split {first['split']}), budget `{budget}`; ± is one standard error, over the seeds "
        "where there are several, otherwise over the images. Where a row does not say otherwise: one prior a seed for all; same body of "
        "the encoder (a lifted one has wider heads and a small network of z too, and what a command says of `model.encoder.sees` is said of "
        "lifted ones), batch, optimiser and steps of each stage. What stands on the prior has its steps besides its own, and ScoreVAE+ the correction's, see `with the "
        "prior`. What the data's config says of weight, schedule and networks was chosen for ScoreVAE."
        + (drawn if any(run["row"].on_draws for run in found) else "")
        + (swapped if any(run["row"].swapped for run in found) else "")
        + (retrained if len(priors) > len({(seed, own) for seed, own, _ in priors}) else ""),
        "l2": "Columns without a further word: one decoding of one z ~ q(z|x).",
        PAPER: f"`{PAPER}`: z is the mean for a VAE and a sample otherwise.",
        "psnr": ""
        if "reconstruction/ssim" in first
        else "SSIM is not told of images that its window of 11 pixels does not fit into.",
        "LPIPS, the paper's rule": "LPIPS by that rule sees images that are not clipped, at half their contrast; of rows "
        "that were evaluated before it was measured it is not told.",
        "l2, average": f"`average`: the mean of {decodings:.0f} decodings.",
        "l2, one step": "`one step`: E[x_0|x_T, z].",
        "mse, limit": "`mse, limit`: that of the mean of infinitely many, by the difference of one and of their mean.",
        "mse, from z alone": "`mse, from z alone`: a kernel regression of the test images on z, fitted to the training images: at "
        "least so much is in z, whatever the method makes of it.",
        "rFD": f"rFD is `{fd}`.",
        "rFD, all": f"`rFD, all`: of {decodings:.0f} decodings of each image, all together, to the originals. That of one of each is biased "
        "upwards by what is drawn.",
        "rKID": f"rKID is `{kid}`, without a bias: of one decoding each.",
        "bits/dim": "bits/dim are bounds of the models as they stand, whatever they were trained with: a VAE's Gaussian's mass on the "
        "grey levels (the lowest has all below it, the highest all above), or the diffusion bound. They are left out for a latent that is a point.",
        "above the prior": "`bits/dim, prior`: of the prior alone; `above the prior`: less that, paired.",
        "NFE": "NFE: evaluations of the score of one decoding; one of ScoreVAE's is of the prior and of the encoder's gradient, one of "
        "DiffDecoder's of its U-Net; of what the prior finishes those below that level are of no network, and counted.",
        "seconds": "`seconds` of training at the median rate, on what of the machine was free. Not every row of the command "
        "need be there yet.",
    }


def _of_latent(found: Found) -> dict[str, list[dict[str, Any]]]:
    """title -> the metrics of each seed. The baselines do not depend on the method: they are told once a seed."""
    once = list({run["seed"]: run["metrics"] for run in found}.values())
    named = {}
    for prefix, title in BASELINES.items():
        of = lambda metrics, prefix=prefix: {
            f"reconstruction/{n.removeprefix(prefix + '/')}": v
            for n, v in metrics.items()
            if n.startswith(f"{prefix}/")
        }
        named[title] = [of(metrics) for metrics in once]
    for run in found:
        named.setdefault(run["row"].title, []).append(_told(run))
    return named


def _told(run: dict[str, Any]) -> dict[str, Any]:
    metrics, row = run["metrics"], run["row"]
    own = seconds(metrics, row.stages)
    with_prior = seconds(metrics, (*row.stages, "prior") if row.has_prior else row.stages)
    hidden = {COLUMNS[column] for column in row.untold}
    hidden |= {"bits_per_dim/above_prior"} if "bits/dim" in row.untold else set()
    told = {n: v for n, v in metrics.items() if n not in hidden} | {"seconds/own": own, "seconds/all": with_prior}
    return told | ({"average/limit_mse": limit(metrics)} if "average/mse" in metrics else {})


def seconds(metrics: dict[str, Any], stages: Iterable[str]) -> float:
    """Not a number, if one was too short to be timed."""
    return sum(metrics.get(f"seconds/{stage}", float("nan")) for stage in stages)


def limit(metrics: dict[str, Any]) -> float:
    """The mse of the mean of infinitely many decodings, without bias: one has b + v, the mean of K others b + v / K, and this is b."""
    k = metrics["average/decodings"]
    return (k * metrics["average/mse"] - metrics["reconstruction/mse"]) / (k - 1)


def _noise_levels(runs: list[dict[str, Any]]) -> dict[str, float]:
    """What the last panel of the picture shows, of the first seed."""
    return {name: value for name, value in runs[0].items() if name.startswith("noise_level/")}


def _flat(told: dict[str, Cell]) -> dict[str, float]:
    flat = {}
    for column, (value, error) in told.items():
        flat |= {column: value} if value is not None else {}
        flat |= {f"{column}_stderr": error} if error is not None else {}
    return flat
