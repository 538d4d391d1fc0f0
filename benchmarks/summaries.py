"""The tables of README.md and docs/, each made from one file of benchmarks/results."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pandas as pd

from benchmarks import demo, labels
from benchmarks.comparison.page import complete, full, glance, heading
from benchmarks.comparison.results import load
from benchmarks.comparison.statistics import cell, half_width, interval, over_seeds, paired
from benchmarks.conditional import gaussian
from benchmarks.conditional import page as conditional
from benchmarks.record import RESULTS, Made
from benchmarks.solvers import summary as solvers
from benchmarks.solvers.beside import beside
from benchmarks.speed import summary as speed

OF_DIGITS = (
    "multi_sample_mean/l2",
    "multi_sample_mean/lpips_alex",
    "reconstruction/fd",
    "multi_sample/fd",
    "latent/kl",
)
OF_FASHION = (
    "reconstruction/lpips_alex",
    "reconstruction/fd",
    "multi_sample/fd",
    "reconstruction/l2",
    "multi_sample_mean/l2",
    "reconstruction/ssim",
    "latent/kl",
)
OF_AVATARS = (
    "reconstruction/l2",
    "multi_sample_mean/l2",
    "reconstruction/ssim",
    "reconstruction/lpips_alex",
    "reconstruction/fd",
    "latent/kl",
)
OF_LATENTS = (
    "latent/probe_accuracy",
    "latent/dci_disentanglement",
    "latent/mig",
    "latent/tad",
    "latent/edit/true_change/1",
    "latent/edit/off_target/1",
)
OF_LEVERS = (
    "reconstruction/l2",
    "multi_sample_mean/l2",
    "reconstruction/lpips_alex",
    "reconstruction/fd",
    "multi_sample/fd",
    "latent/kl",
    "bits_per_dim/total",
)
OF_PAIRS = ("reconstruction/l2", *OF_DIGITS[:4])


class Summary(NamedTuple):
    """make(result) -> the table, of benchmarks/results/RESULT.json."""

    result: str
    make: Callable[[str], Made]


def runs_of(result: str, metrics: tuple[str, ...]) -> tuple[pd.DataFrame, str]:
    """(a run a row; the beginning of a caption: images, seeds, and what FD is)."""
    frame = complete(load(RESULTS / f"{result}.json").frame())
    n, split = (frame[name].dropna().iloc[-1] for name in ("n", "split"))
    counts = sorted(frame.groupby(["latent", "method"]).size().unique())
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seed{'s' * int(counts[0] > 1)}"
    fd = f" FD is `{frame['name_of_fd'].iloc[-1]}`." if any(name.endswith("/fd") for name in metrics) else ""
    return frame, f"{n:.0f} images of the split {split}, {seeds}.{fd}"


def short(method: str) -> str:
    """Without the beta that all methods share if they do not say otherwise."""
    return method.replace(", beta 0.01", "")


def by_latents(metrics: tuple[str, ...], result: str) -> Made:
    """A row a method; in each cell a figure for each latent size."""
    frame, caption = runs_of(result, metrics)
    head, *rows = glance(frame, metrics)
    return [head, *([short(row[0]), *row[1:]] for row in rows)], f"{caption} Beta is 0.01 unless stated."


def with_errors(metrics: tuple[str, ...], result: str) -> Made:
    """A row a method, of one latent size and seed."""
    frame, caption = runs_of(result, metrics)
    (latent,) = frame["latent"].unique()
    table = full(frame, metrics)
    rows = [[short(row[1]), *row[3:]] for row in table]
    return rows, f"{latent} latents, {caption} ± is one standard error over the images."


def differences(result: str) -> Made:
    """Mean differences seed by seed with Student's 95 percent intervals, in bold where they exclude 0."""
    frame, caption = runs_of(result, OF_PAIRS)
    names = frame.drop_duplicates("row").set_index("row")["method"]
    references = frame.drop_duplicates("method").set_index("method")
    rows = [["difference", "latents", "seeds", *(heading(metric, frame) for metric in OF_PAIRS)]]
    for reference in ("rival", "uncorrected"):
        found = paired(frame, reference, OF_PAIRS)
        half = half_width(found)
        for place in found.mean.index:
            latent, method = place
            other = short(names[references.loc[method, reference]])
            cells = [interval(found.mean.loc[place, m], half.loc[place, m]) for m in OF_PAIRS]
            n = found.n.loc[place].max()
            rows.append([f"{short(method)} \N{MINUS SIGN} {other}", str(latent), str(n), *cells])
    caption = f"{caption} Differences seed by seed: mean [Student's 95 % interval], bold where the interval excludes 0."
    return rows, caption


def swept(metrics: tuple[str, ...], unit: str, descending: bool, result: str) -> Made:
    """Lines of a sweep: a row for each series and metric, a column for each abscissa."""
    frame, caption = runs_of(result, metrics)
    runs = frame[frame["row"].notna()]
    summary = over_seeds(runs, metrics)
    places = (
        runs.drop_duplicates("method")
        .set_index("method")[["series", "at"]]
        .loc[summary.mean.index.get_level_values("method")]
    )
    at = sorted(runs["at"].unique(), reverse=descending)
    rows = [["method", "metric", *(f"{unit} {x:g}" for x in at)]]
    for series in places["series"].unique():
        for metric in metrics:
            of = (places["series"] == series).to_numpy()
            cells = {
                x: cell(mean, error)
                for x, mean, error in zip(
                    places["at"][of], summary.mean[metric][of], summary.error[metric][of], strict=True
                )
            }
            if any(cells.values()):
                rows.append([short(series), heading(metric, frame), *(cells.get(x, "") for x in at)])
    (latent,) = frame["latent"].unique()
    return rows, f"{latent} latents, {caption} ± is one standard error over the images."


def bounds(result: str) -> Made:
    """The sweep over beta, after the bounds of the priors alone."""
    metrics = ("bits_per_dim/total", "bits_per_dim/above_prior", "latent/kl")
    (head, *rows), caption = swept(metrics, "beta", True, result)
    frame, _ = runs_of(result, metrics)
    name = "prior/bits_per_dim/total"
    priors = frame[frame[name].notna()].drop_duplicates(["own_prior", "seed"])
    label = {"": "prior alone"}
    alone = [
        [
            label.get(own, "prior of uniform logSNR, alone"),
            heading("bits_per_dim/total", frame),
            cell(run[name], run[f"{name}_stderr"]),
        ]
        for own, run in priors.groupby("own_prior", sort=False).first().iterrows()
    ]
    return [head, *([*row, *[""] * (len(head) - len(row))] for row in alone), *rows], caption


BESIDE = {"solvers_digits": "VP", "solvers_flow_digits": "flow"}
LENGTHS = ("multi_sample_mean/l2", "reconstruction/fd", "multi_sample/fd")
TABLES = {
    "comparison_digits": Summary("compare_digits", partial(by_latents, OF_DIGITS)),
    "comparison_digits_paired": Summary("compare_digits", differences),
    "comparison_fashion_mnist": Summary("compare_fashion_mnist", partial(with_errors, OF_FASHION)),
    "comparison_avatars32": Summary("compare_avatars32", partial(with_errors, OF_AVATARS)),
    "comparison_avatars32_latents": Summary("compare_avatars32", partial(with_errors, OF_LATENTS)),
    "levers_digits": Summary("levers_digits", partial(with_errors, OF_LEVERS)),
    "bounds_digits": Summary("bounds_digits", bounds),
    "curves_digits": Summary("curves_digits", partial(swept, LENGTHS, "steps", False)),
    "solvers_digits": Summary("solvers_digits", solvers.summary),
    "solvers_flow_digits": Summary("solvers_flow_digits", partial(beside, BESIDE)),
    "labels_digits": Summary("labels_digits", labels.summary),
    "demo": Summary("demo", demo.summary),
    "step_time": Summary("step_time", speed.step_time),
    "precision": Summary("precision", speed.precision),
    "growth": Summary("growth", partial(speed.of_result, speed.growth)),
    "choices": Summary("choices", partial(speed.of_result, speed.choices)),
    "operations": Summary("operations", partial(speed.of_result, speed.operations)),
    "plan": Summary("plan", partial(speed.of_result, speed.plans)),
    "sharding": Summary("sharding", partial(speed.of_result, speed.sharding)),
    "conditional_digits": Summary("conditional_digits", conditional.summary),
    "conditional_fashion_mnist": Summary("conditional_fashion_mnist", conditional.summary),
    "conditional_avatars32": Summary("conditional_avatars32", conditional.summary),
    "conditional_gaussian": Summary("conditional_gaussian", gaussian.summary),
    "conditional_digits_paired": Summary("conditional_digits", conditional.summary_of_differences),
}
