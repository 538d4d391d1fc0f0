"""A comparison of which nothing was trained."""

import numpy as np

from benchmarks.comparison import results
from benchmarks.comparison.plan import Comparison, Options, fields

MADE = {"machine": "one", "versions": {"jax": "1"}}
STRIP = results.encode(np.full((8, 8, 8, 1), 0.6, np.float32))
# What every evaluation of a table has.
METRICS = {
    "n": 9,
    "split": "test",
    "method": "ScoreVAE",
    "reconstruction/fd_pixels": 0.1,
    "reconstruction/kid_pixels": 0.2,
    "reconstruction/l2": 1.0,
    "seconds/own": 5.0,
    "seconds/all": 11.0,
}


def of_table(table, folder, changes=None):
    """A comparison on the digits, whose results and networks lie in `folder`."""
    options = Options(data="digits", table=table, name="t", workdir=folder, seeds=1, latents=[4])
    comparison = Comparison(options, changes or {})
    comparison.path = folder / "t.json"
    return comparison


def record_of(comparison, name, latent=4, seed=0, image=STRIP, prior="", **metrics):
    """A trained row with these metrics; None takes one away."""
    row = comparison.rows[name]
    found = {n: value for n, value in (METRICS | metrics).items() if value is not None}
    config = fields(row, comparison.config_of(row, latent, seed))
    place = {"row": name, "latent": latent, "seed": seed}
    return place | {"prior": prior, "made": MADE, "config": config, "metrics": found, "image": image}


def results_of(comparison, records):
    """All of them, as if `comparison` had trained them."""
    found = comparison.load()
    for record in records:
        found.add(record)
    found.references = {"original": STRIP, "PCA, 4": STRIP, "PCA, 8": STRIP}
    return found


def keep(comparison, name, **metrics):
    """Write a row as if it had been trained."""
    found = results_of(comparison, [record_of(comparison, name, **metrics)])
    results.save(comparison.path, found)
    return comparison.rows[name]
