"""The page of a comparison: a table at a glance, the table with standard errors, one of the latents, and paired differences."""

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.comparison.columns import IMAGES, LATENTS, NOTES, SHORT
from benchmarks.comparison.results import Results
from benchmarks.comparison.rows import SYNTHETIC
from benchmarks.comparison.statistics import LEVEL, over_seeds, paired, starred
from benchmarks.record import markdown

BASELINES = {"baseline/mean_image": "mean image", "baseline/pca": "PCA"}
PAIRED = {
    "rival": "Differences to the beta-VAE of equal beta (with synthetic images, to the one with synthetic images)",
    "uncorrected": "Differences of ScoreVAE+ to ScoreVAE on the same encoder",
}
SEED_BY_SEED = (
    "seed by seed, on the same test images. ± is one standard error over the seeds. A star marks a Student interval of "
    f"{LEVEL:.0%} without 0; of so many cells one in twenty has one by chance."
)


def lines(results: Results) -> list[str]:
    """The page in markdown, without its title and last line."""
    frame = complete(results.frame())
    headings, latents = (
        {metric: fill(text, frame) for metric, text in columns.items()} for columns in (IMAGES, LATENTS)
    )
    table, of_latents = full(frame, headings), full(frame, latents)
    page = [*markdown(glance(frame, headings)), "", "With standard errors:", "", *markdown(table), ""]
    page += [" ".join([*_about(frame, results.facts), *_notes(headings, table, frame)])]
    if len(of_latents) > 1:
        page += ["", *markdown(of_latents), "", "The latents. " + " ".join(_notes(latents, of_latents, frame))]
    for reference, title in PAIRED.items():
        if len((differences := paired(frame, reference, SHORT)).mean):
            table = as_table(starred(differences), differences.n.max(axis=1), headings)
            page += ["", f"{title}, {SEED_BY_SEED}", "", *markdown(table)]
    return page


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """With the baselines as rows of their own, derived metrics, and `fd` and `kid` for whichever extractor's."""
    sets = {_canonical(name): name for name in frame if name.startswith("reconstruction/")}
    frame = frame.rename(columns={name: _canonical(name) for name in frame})
    frame = pd.concat([*_baselines(frame), frame], ignore_index=True)
    missing = pd.Series(np.nan, frame.index)
    vae, derived = frame["kind"] == "beta-VAE", {}
    for suffix in ("", "_stderr"):
        of_mean, of_sample = (
            frame.get(f"{name}/l2{suffix}", missing) for name in ("reconstruction_of_mean", "reconstruction")
        )
        derived[f"paper/l2{suffix}"] = of_mean.where(vae, of_sample)
    if "multi_sample_mean/mse" in frame:
        one, mean, k = (
            frame[name] for name in ("reconstruction/mse", "multi_sample_mean/mse", "multi_sample/decodings")
        )
        derived["multi_sample_mean/limit_mse"] = limit(one, mean, k)
    names = {f"name_of_{of}": sets[f"reconstruction/{of}"].split("/")[1] for of in ("fd", "kid")}
    return pd.concat([frame, pd.DataFrame(derived | names, frame.index)], axis=1)


def limit(one: pd.Series, mean: pd.Series, k: pd.Series) -> pd.Series:
    """The mse of the mean of infinitely many decodings, without bias: one errs by b + v, the mean of k by b + v / k; this is b."""
    return (k * mean - one) / (k - 1)


def fill(text: str, frame: pd.DataFrame) -> str:
    """Names the number of decodings and the extractor."""
    k = frame.get("multi_sample/decodings", pd.Series(dtype=float)).max()
    return text.format(k=f"{k:.0f}", **{name: frame[f"name_of_{name}"].dropna().iloc[-1] for name in ("fd", "kid")})


def full(frame: pd.DataFrame, headings: dict[str, str]) -> list[list[str]]:
    """A row for each latent size and method; without empty rows and columns. The first row is the head."""
    summary = over_seeds(frame, headings)
    text = summary.text()
    text = text.loc[(text != "").any(axis=1), (text != "").any(axis=0)]
    seeds = frame.groupby(["latent", "method"], sort=False).size()
    return as_table(text, seeds.loc[text.index], headings)


def as_table(text: pd.DataFrame, seeds: pd.Series, headings: dict[str, str]) -> list[list[str]]:
    """Cells by (latent, method), from the smallest latent size to the largest. The first row is the head."""
    order = np.argsort(text.index.get_level_values("latent"), kind="stable")
    text, seeds = text.iloc[order], seeds.iloc[order]
    head = ["latents", "method", "seeds", *(headings[name] for name in text)]
    rows = zip(text.index, seeds, text.itertuples(index=False), strict=True)
    return [head, *([str(latent), method, str(n), *cells] for (latent, method), n, cells in rows)]


def glance(frame: pd.DataFrame, headings: dict[str, str], metrics: tuple[str, ...] = SHORT) -> list[list[str]]:
    """A row a method; each cell has a figure of three digits for each latent size, "-" where it was not run."""
    summary = over_seeds(frame, metrics).mean.dropna(how="all").dropna(how="all", axis=1)
    runs = frame.groupby(["latent", "method"], sort=False).size().loc[summary.index]
    order = [method for method in frame["method"].unique() if method in summary.index.unique("method")]
    sizes = sorted(summary.index.unique("latent"))
    wide = summary.unstack("latent").reindex(order)
    seeds = runs.unstack("latent").reindex(order)
    head = [f"latents {' / '.join(map(str, sizes))}", "seeds", *(headings[name] for name in summary)]

    def cells(method: str) -> list[str]:
        n = ["-" if pd.isna(seeds.loc[method, size]) else f"{seeds.loc[method, size]:.0f}" for size in sizes]
        figures = [slashed([wide.loc[method, (name, size)] for size in sizes]) for name in summary]
        return [n[0] if len(set(n)) == 1 else " / ".join(n), *figures]

    return [head, *([method, *cells(method)] for method in order)]


def slashed(values: list[float]) -> str:
    """Figures of three digits; nothing, where there is none at all."""
    if all(pd.isna(value) for value in values):
        return ""
    return " / ".join("-" if pd.isna(v) else f"{v:.0f}" if abs(v) >= 100 else f"{v:#.3g}" for v in values)


def _canonical(name: str) -> str:
    """`fd` for fd_pixels, fd_efflite0 or fid, and `kid` for kid_pixels, ..."""
    head, slash, last = name.rpartition("/")
    stderr = "_stderr" if last.endswith("_stderr") else ""
    kind = "fd" if last.startswith(("fd_", "fid")) else "kid" if last.startswith("kid_") else ""
    return f"{head}/{kind}{stderr}" if slash and kind else name


def _baselines(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """PCA and the mean image, which depend on the latent size and seed alone, as methods."""
    found = []
    for prefix, method in BASELINES.items():
        names = [name for name in frame if name.startswith(f"{prefix}/")]
        if names:
            of_seeds = frame.groupby(["latent", "seed"], as_index=False)[names].last()
            renamed = {name: f"reconstruction/{name.removeprefix(f'{prefix}/')}" for name in names}
            found.append(of_seeds.rename(columns=renamed).assign(method=method))
    return found


def _notes(headings: dict[str, str], table: list[list[str]], frame: pd.DataFrame) -> list[str]:
    """What is to be known of the columns that the table has."""
    return [fill(text, frame) for metric, text in NOTES.items() if headings.get(metric) in table[0]]


def _about(frame: pd.DataFrame, facts: dict[str, Any]) -> list[str]:
    """What is common to all rows."""
    with_prior = frame[frame["prior"].fillna("") != ""]
    several = with_prior.groupby(["seed", "own_prior"])["prior"].nunique().gt(1).any()
    of = lambda name: frame[name].dropna().iloc[-1]
    found = [
        f"{of('n'):.0f} images of the split {of('split')}, budget `{facts['budget']}`. ± is one standard error: over the seeds where there "
        "are several, otherwise over the images. Unless a row says otherwise, all use one prior a seed, and share the encoder's body, "
        "batch, optimiser and steps of each stage. Weight, times and networks were chosen for ScoreVAE."
    ]
    if frame["synthetic"].eq(True).any():
        found.append(
            f"*Synthetic images*: {SYNTHETIC['synthetic.share']:.0%} of the training images are among {SYNTHETIC['synthetic.n']:,} drawn from the seed's "
            "prior, by the decoder's solver; the seconds leave their generation out."
        )
    if frame["swapped"].eq(True).any():
        found.append("*Another seed's prior* decodes with a prior that the encoder was not trained with.")
    if several:
        found.append("The rows of a seed use priors trained alike, from the same seed, on several machines.")
    return found
