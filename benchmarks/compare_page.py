"""The comparison as a table, a picture of reconstructions and curves of what latents are worth."""

from typing import Any

import compare_plots
import numpy as np
from record import RESULTS, record

from sde_vae.tables import figure

# (column, the metric's name, of which protocol)
COLUMNS = {
    "l2": "reconstruction/l2",
    "l2, mean z": "reconstruction_of_mean/l2",
    "l2, average": "average/l2",
    "l2, one step": "one_step/l2",
    "mse": "reconstruction/mse",
    "psnr": "reconstruction/psnr",
    "ssim": "reconstruction/ssim",
    "LPIPS": "reconstruction/lpips_alex",
    "LPIPS, mean z": "reconstruction_of_mean/lpips_alex",
    "rFD": "reconstruction/{fd}",
    "rFD, mean z": "reconstruction_of_mean/{fd}",
    "KL": "latent/kl",
    "bits/dim": "bits_per_dim/total",
    "bits/dim of the prior": "prior/bits_per_dim/total",
    "probe": "latent/probe_accuracy",
    "active": "latent/active_units",
    "NFE": "reconstruction/nfe",
}
BASELINES = {"baseline/mean_image": "mean image", "baseline/pca": "PCA"}
Found = list[dict[str, Any]]


def write(data: str, budget: str, found: Found) -> None:
    """results/compare_DATA.{json,md,png} of the rows that are finished."""
    seeds = sorted({run["seed"] for run in found})
    first = found[0]["metrics"]
    fd = next(name.split("/")[1] for name in first if name.startswith(("reconstruction/fd_", "reconstruction/fid")))
    figures, table = [], []
    for latent in sorted({run["latent"] for run in found}):
        of_latent = [run for run in found if run["latent"] == latent]
        for title, runs in (_baselines(of_latent) | _methods(of_latent)).items():
            summary = {column: _over_seeds(runs, name.format(fd=fd)) for column, name in COLUMNS.items()}
            summary["seconds"] = _over_seeds(runs, "seconds/own")
            # The paper tests a VAE with the posterior's mean, and everything else with one sample.
            paper = summary["l2, mean z"] if title.startswith("beta-VAE") else summary["l2"]
            summary = {"l2, as the paper tests": paper, **summary}
            figures.append({"method": title, "latent": latent, "seeds": len(runs)} | _flat(summary))
            table.append([str(latent), title, *(figure(*cell) for cell in summary.values())])
    head = ["latents", "method", "l2, as the paper tests", *COLUMNS, "seconds"]
    notes = (
        f"{first['n']} held-out images (split {first['split']}), budget `{budget}`, seeds {', '.join(map(str, seeds))}; ± is one "
        "standard error, over the seeds where there are several, otherwise over the images. One prior a seed for all rows; same encoder, "
        "batch, optimiser, steps and evaluation. Columns without a further word: one decoding of one z ~ q(z|x). `average`: the mean "
        f"of {first.get('average/decodings', 0):.0f} decodings; `one step`: E[x_0|x_T, z]. rFD is `{fd}`. `seconds` of training are those "
        "of the method's own stages; the prior, where there is one, took "
        f"{np.mean([run['metrics']['seconds/prior'] for run in found]):.0f} more. bits/dim of a beta-VAE are those of its Gaussian's "
        "mass on the data's grey levels, of the others those of the diffusion bound; neither is the loss it was trained with unless beta = 1."
    )
    name = f"compare_{data}"
    compare_plots.draw(found, fd, RESULTS / f"{name}.png")
    record(
        name, f"Comparison: {data}", {"rows": figures, "n": first["n"], "fd": fd, "budget": budget}, head, table, notes
    )


def _methods(found: Found) -> dict[str, list[dict[str, Any]]]:
    """title -> the metrics of each seed."""
    titles = dict.fromkeys(run["title"] for run in found)
    own = lambda run: {
        "seconds/own": sum(v for k, v in run["metrics"].items() if k in ("seconds/encoder", "seconds/correction"))
    }
    return {title: [run["metrics"] | own(run) for run in found if run["title"] == title] for title in titles}


def _baselines(found: Found) -> dict[str, list[dict[str, Any]]]:
    """The baselines of the evaluations, one of each seed: they do not depend on the method."""
    per_seed = list({run["seed"]: run["metrics"] for run in found}.values())
    renamed = lambda metrics, prefix: {
        k.replace(prefix, "reconstruction", 1): v for k, v in metrics.items() if k.startswith(f"{prefix}/")
    }
    return {title: [renamed(metrics, prefix) for metrics in per_seed] for prefix, title in BASELINES.items()}


def _over_seeds(runs: list[dict[str, Any]], name: str) -> tuple[float | None, float | None]:
    values = [run[name] for run in runs if name in run]
    if not values:
        return None, None
    if len(values) > 1:
        return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return values[0], runs[0].get(f"{name}_stderr")


def _flat(summary: dict[str, tuple[float | None, float | None]]) -> dict[str, float]:
    flat = {}
    for column, (value, error) in summary.items():
        flat |= {column: value} if value is not None else {}
        flat |= {f"{column}_stderr": error} if error is not None else {}
    return flat
