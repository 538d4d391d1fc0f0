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
Table = list[list[str]]


def lines(results: Results) -> list[str]:
    """The page in markdown, without its title and last line."""
    frame = complete(results.frame())
    images, latents = full(frame, tuple(IMAGES)), full(frame, tuple(LATENTS))
    page = [*markdown(glance(frame)), "", "With standard errors:", "", *markdown(images), ""]
    page += [" ".join([*_about(frame, results.facts), *_notes(images, frame)])]
    if len(latents) > 1:
        page += ["", *markdown(latents), "", "The latents. " + " ".join(_notes(latents, frame))]
    for reference, title in PAIRED.items():
        differences = paired(frame, reference, SHORT)
        if len(differences.mean):
            table = _as_table(starred(differences), differences.n.max(axis=1), frame)
            page += ["", f"{title}, {SEED_BY_SEED}", "", *markdown(table)]
    return page


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """With the baselines as methods, derived metrics, and metrics of sets named `fd` and `kid`, whichever extractor's they are."""
    names = {name: _canonical(name) for name in frame}
    old_names = {new: old for old, new in names.items() if new.startswith("reconstruction/")}
    sets = {f"name_of_{of}": old_names[f"reconstruction/{of}"].split("/")[1] for of in ("fd", "kid")}
    frame = frame.rename(columns=names)
    frame = pd.concat([*_baselines(frame), frame], ignore_index=True)
    column = lambda name: frame.get(name, pd.Series(np.nan, frame.index))
    derived: dict[str, Any] = {
        f"paper/l2{of}": column(f"reconstruction_of_mean/l2{of}").where(
            frame["kind"] == "beta-VAE", column(f"reconstruction/l2{of}")
        )
        for of in ("", "_stderr")
    }
    one, mean, k = map(column, ("reconstruction/mse", "multi_sample_mean/mse", "multi_sample/decodings"))
    derived["multi_sample_mean/limit_mse"] = limit(one, mean, k)
    return pd.concat([frame, pd.DataFrame(derived | sets, frame.index)], axis=1)


def limit(one: Any, mean: Any, k: Any) -> Any:
    """The mse of the mean of infinitely many decodings, without bias: one errs by b + v, the mean of k by b + v / k; this is b."""
    return (k * mean - one) / (k - 1)


def heading(metric: str, frame: pd.DataFrame) -> str:
    return fill((IMAGES | LATENTS)[metric], frame)


def fill(text: str, frame: pd.DataFrame) -> str:
    """Names the number of decodings and the extractor."""
    k = frame.get("multi_sample/decodings", pd.Series(dtype=float)).max()
    return text.format(k=f"{k:.0f}", fd=frame["name_of_fd"].iloc[-1], kid=frame["name_of_kid"].iloc[-1])


def full(frame: pd.DataFrame, metrics: tuple[str, ...]) -> Table:
    """A row for each latent size and method, without empty rows and columns. The first row is the head."""
    text = over_seeds(frame, metrics).text()
    text = text.loc[(text != "").any(axis=1), (text != "").any(axis=0)]
    return _as_table(text, _runs(frame).loc[text.index], frame)


def _runs(frame: pd.DataFrame) -> pd.Series:
    """How many seeds each latent size and method has."""
    return frame.groupby(["latent", "method"], sort=False).size()


def _as_table(text: pd.DataFrame, seeds: pd.Series, frame: pd.DataFrame) -> Table:
    order = np.argsort(text.index.get_level_values("latent"), kind="stable")
    head = ["latents", "method", "seeds", *(heading(name, frame) for name in text)]
    rows = zip(text.index[order], seeds.iloc[order], text.iloc[order].itertuples(index=False), strict=True)
    return [head, *([str(latent), method, str(n), *cells] for (latent, method), n, cells in rows)]


def glance(frame: pd.DataFrame, metrics: tuple[str, ...] = SHORT) -> Table:
    """A row a method; each cell has a figure of three digits for each latent size, "-" where it was not run."""
    summary = over_seeds(frame, metrics).mean.dropna(how="all").dropna(how="all", axis=1)
    sizes = sorted(summary.index.unique("latent"))
    order = [method for method in frame["method"].unique() if method in summary.index.unique("method")]
    wide = summary.unstack("latent").reindex(order)
    seeds = _runs(frame).loc[summary.index].unstack("latent").reindex(order)
    rows = [[f"latents {' / '.join(map(str, sizes))}", "seeds", *(heading(name, frame) for name in summary)]]
    for method in order:
        runs = ["-" if pd.isna(n) else f"{n:.0f}" for n in seeds.loc[method, sizes]]
        n = runs[0] if len(set(runs)) == 1 else " / ".join(runs)
        rows.append([method, n, *(_slashed(wide.loc[method, name][sizes]) for name in summary)])
    return rows


def _slashed(values: pd.Series) -> str:
    """Figures of three digits; nothing, where there is none at all."""
    if values.isna().all():
        return ""
    return " / ".join("-" if pd.isna(v) else f"{v:.0f}" if abs(v) >= 100 else f"{v:#.3g}" for v in values)


def _canonical(name: str) -> str:
    """`fd` for fd_pixels, fd_efflite0 or fid, and `kid` for kid_pixels, ..."""
    head, slash, last = name.rpartition("/")
    kind = "fd" if last.startswith(("fd_", "fid")) else "kid" if last.startswith("kid_") else ""
    return f"{head}/{kind}{'_stderr' * last.endswith('_stderr')}" if slash and kind else name


def _baselines(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """PCA and the mean image, which depend on the latent size and seed alone, as methods."""
    found = []
    for prefix, method in BASELINES.items():
        names = {n: n.replace(prefix, "reconstruction", 1) for n in frame if n.startswith(f"{prefix}/")}
        if names:
            of_seeds = frame.groupby(["latent", "seed"], as_index=False)[list(names)].last()
            found.append(of_seeds.rename(columns=names).assign(method=method))
    return found


def _notes(table: Table, frame: pd.DataFrame) -> list[str]:
    """What is to be known of the columns that the table has."""
    return [fill(text, frame) for metric, text in NOTES.items() if heading(metric, frame) in table[0]]


def _about(frame: pd.DataFrame, facts: dict[str, Any]) -> list[str]:
    """What is common to all rows."""
    n, split = (frame[name].dropna().iloc[-1] for name in ("n", "split"))
    found = [
        f"{n:.0f} images of the split {split}, budget `{facts['budget']}`. ± is one standard error: over the seeds where there "
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
    with_prior = frame[frame["prior"].fillna("") != ""]
    if with_prior.groupby(["seed", "own_prior"])["prior"].nunique().gt(1).any():
        found.append("The rows of a seed use priors trained alike, from the same seed, on several machines.")
    return found
