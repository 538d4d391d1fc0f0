"""Trained estimators on Gaussian images, where p(x | y) is known: how near their draws come to it.

    python -m benchmarks.conditional.gaussian [--tasks inpainting ...] [--methods cde ...] [--workdir runs/conditional_gaussian]

The images have the mean and the covariance of the digits' pixels, and y has noise. Networks and steps are those of
configs/cmde_digits.py. Writes benchmarks/results/conditional_gaussian.{json,md}. Finished parts are kept in --workdir, so the same
command resumes.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from sklearn.datasets import load_digits

from benchmarks.arguments import parser_of
from benchmarks.conditional.__main__ import METHODS, SHARED, config_of
from benchmarks.conditional.page import TITLES
from benchmarks.record import RESULTS, Made, record
from sde_vae import load, runtime
from sde_vae.build.config import set_fields
from sde_vae.build.fields import BY_BAYES
from sde_vae.build.unread import read_by
from sde_vae.commands.train import train
from sde_vae.errors import exit_code
from sde_vae.files import write_array, write_json
from sde_vae.inference.decoding import decode, start
from sde_vae.methods.observation import LinearOperator
from sde_vae.metrics.sets.posterior_fidelity import exact_draws, posterior_fidelity
from sde_vae.reporting.tables import figure
from sde_vae.run import Run
from sde_vae.training.description import digest
from sde_vae.training.workdir import as_json
from sde_vae.types import Condition

NAME = "conditional_gaussian"
IMAGES = "images.npy"
TASKS = ("inpainting", "super_resolution")
EXAMPLES, OBSERVED, DRAWS = 20_000, 16, 200
# Copies of each observation that are restored at once: 16 small images alone do not fill a processor.
COPIES = 25
# Of y, in standard deviations of a pixel.
NOISE = 0.2
SHAPE = (8, 8, 1)
REFERENCES = {"exact_draws": "draws from p(x \\| y)", "exact_score": "the exact score, same solver"}
COLUMNS = {"mean": "mean ↓", "covariance": "covariance ↓", "sliced_wasserstein": "sliced Wasserstein ↓"}

# (mean [d], covariance [d, d]) of flattened images
Gaussian = tuple[np.ndarray, np.ndarray]


def pixels() -> Gaussian:
    """The moments of the digits' pixels on [0, 1], with a little variance in those that never change."""
    x = load_digits().data / 16
    return x.mean(axis=0), np.cov(x.T) + 1e-3 * np.eye(64)


def config(method: str, task: str, data: Path) -> ConfigDict:
    changes = {
        "data.name": "arrays",
        "data.dir": str(data),
        "data.shape": SHAPE,
        "task.noise": NOISE,
        "task.factor": 2,
        # Many and small steps, so that what is measured is the estimator.
        "sampling.steps": 100,
        "eval.evaluators": (),
    }
    return config_of("digits", method, task, 0, changes)


def given(of: Gaussian, operator: LinearOperator, condition: Condition, i: int) -> Gaussian:
    """p(x | y) of the i-th observation, without the hidden values of y."""
    mean, covariance = of
    mask = None if condition.mask is None else jnp.tile(condition.mask[i][None], (64, 1, 1, 1))
    A = np.asarray(operator.forward(jnp.eye(64).reshape(64, *SHAPE), mask), np.float64).reshape(64, -1).T
    seen = np.ones(len(A), bool) if condition.mask is None else np.asarray(condition.mask[i]).ravel() > 0
    A, y = A[seen], np.asarray(condition.y[i], np.float64).ravel()[seen]
    gain = np.linalg.solve(A @ covariance @ A.T + NOISE**2 * np.eye(len(A)), A @ covariance).T
    return mean + gain @ (y - A @ mean), covariance - gain @ A @ covariance


def by_exact_score(run: Run, posterior: Gaussian, seed: int) -> np.ndarray:
    """Draws by the run's solver with the exact score of p(x_t | y): [DRAWS, d]."""
    decoder = run.experiment.decoder
    mean, (values, vectors) = jnp.asarray(posterior[0]), map(jnp.asarray, np.linalg.eigh(posterior[1]))

    def score(x, t):
        a, s = decoder.sde.alpha(t)[:, None], decoder.sde.sigma(t)[:, None]
        flat = (x.reshape(len(x), -1) - a * mean[None]) @ vectors
        return -((flat / (a**2 * values[None] + s**2)) @ vectors.T).reshape(x.shape)

    keys, x_T = start(decoder.sde, jax.random.key(seed), jnp.zeros((DRAWS, *SHAPE)), jnp.arange(DRAWS))
    return np.asarray(jax.jit(lambda x: decode(decoder, score, keys, x))(x_T)).reshape(DRAWS, -1)


def restored(run: Run, y: Condition, posteriors: list[Gaussian]) -> np.ndarray:
    """Draws by the run's own score: [OBSERVED, DRAWS, d]."""
    del posteriors
    x = run.restore(copied(y, COPIES), DRAWS // COPIES, progress=True)
    flat = run.units.from_user(x.reshape(-1, *SHAPE), SHAPE)
    # [copy, observation, draw, d]
    return flat.reshape(COPIES, OBSERVED, DRAWS // COPIES, -1).swapaxes(0, 1).reshape(OBSERVED, DRAWS, -1)


def copied(y: Condition, copies: int) -> Condition:
    """The observations so many times, one after another, each with a seed of its own for the noise of a diffused y."""
    rows, mask = (None if a is None else np.concatenate(copies * [np.asarray(a)]) for a in (y.y, y.mask))
    return Condition(rows, mask, np.arange(len(rows), dtype=np.uint32))


def fidelities(run: Run, of: Gaussian, draws: Callable[[Condition, list[Gaussian]], np.ndarray]) -> dict[str, Any]:
    """Distances to the posteriors of OBSERVED images, each the mean and its standard error. `draws` returns [OBSERVED, DRAWS, d]."""
    y = run.observe(run.images("test", OBSERVED), seed=0)
    scaling = run.scaling
    shift, scale = (np.broadcast_to(a, SHAPE).ravel() for a in (scaling.mean, scaling.std))
    ours = (of[0] - shift) / scale, of[1] / np.outer(scale, scale)
    posteriors = [given(ours, run.experiment.measurement.operator, y, i) for i in range(OBSERVED)]
    rng = np.random.default_rng(0)
    found = [
        posterior_fidelity(x, *posterior, rng) for x, posterior in zip(draws(y, posteriors), posteriors, strict=True)
    ]
    table = np.array(found, np.float64)
    errors = table.std(axis=0, ddof=1) / np.sqrt(OBSERVED)
    return {
        name: value
        for column, mean, error in zip(COLUMNS, table.mean(axis=0), errors, strict=True)
        for name, value in ((column, float(mean)), (f"{column}_stderr", float(error)))
    }


def trained(root: Path, task: str, method: str) -> Run | None:
    """The run of a method, None if its training was interrupted."""
    path = root / IMAGES
    chosen, prior, folder = config(method, task, path), root / "prior", root / f"{task}_{method}"
    if method in BY_BAYES:
        if not train(config("prior", SHARED, path), prior):
            return None
        chosen = set_fields(chosen, {"prior.checkpoint": str(prior)})
    return load(folder) if train(chosen, folder) else None


def kept(path: Path, run: Run, draws: Callable[[Condition, list[Gaussian]], np.ndarray]) -> dict[str, Any]:
    """The fidelities, read from the file where an earlier call wrote them for the same config, parameters and counts."""
    of = {
        "observed": OBSERVED,
        "draws": DRAWS,
        "config": as_json(read_by(run.config)),
        "params": digest(run.trained.params),
    }
    before = json.loads(path.read_text()) if path.exists() else {}
    if before.get("of") != of:
        before = {"of": of, "figures": fidelities(run, pixels(), draws)}
        write_json(path, before)
    return before["figures"]


def references(run: Run, root: Path, task: str) -> dict[str, dict[str, Any]]:
    """How near draws from the posterior itself come, and those by its exact score with the run's solver."""
    rng = np.random.default_rng(1)
    ways = {
        "exact_draws": lambda y, of: np.stack([exact_draws(*p, DRAWS, rng) for p in of]),
        "exact_score": lambda y, of: np.stack([by_exact_score(run, p, seed) for seed, p in enumerate(of)]),
    }
    return {name: kept(root / f"{task}_{name}.json", run, draws) for name, draws in ways.items()}


def measure(options: argparse.Namespace) -> None:
    root = options.workdir
    figures: dict[str, dict[str, Any]] = {}
    images = exact_draws(*pixels(), EXAMPLES, np.random.default_rng(0)).reshape(-1, *SHAPE)
    root.mkdir(parents=True, exist_ok=True)
    write_array(root / IMAGES, images.astype(np.float32))
    for task in options.tasks:
        figures[task] = {}
        for method in options.methods:
            run = trained(root, task, method)
            if run is None:
                return
            figures[task] = figures[task] or references(run, root, task)
            figures[task][method] = kept(root / f"{task}_{method}.json", run, partial(restored, run))
        (head, *rows), notes = table_of(figures)
        record(NAME, "Draws of trained estimators beside the exact posterior", figures, head, rows, notes)


def table_of(figures: dict) -> Made:
    rows = [
        [
            task,
            (REFERENCES | TITLES)[method],
            *(figure(found[column], found[f"{column}_stderr"]) for column in COLUMNS),
        ]
        for task, of in figures.items()
        for method, found in of.items()
    ]
    notes = (
        f"Gaussian images with the moments of the digits' pixels; noise of {NOISE} in y; {DRAWS} draws for each of {OBSERVED} observations; "
        "one seed. ± is one standard error over the observations. Distances are relative to the posterior's own size; those of its own draws "
        "are above 0 because draws are few."
    )
    return [["task", "estimator", *COLUMNS.values()], *rows], notes


def summary(result: str) -> Made:
    """The table of benchmarks/results/RESULT.json."""
    return table_of(json.loads((RESULTS / f"{result}.json").read_text())["figures"])


def main() -> int:
    parser = parser_of("benchmarks.conditional.gaussian", __doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--workdir", type=Path, default=Path("runs/conditional_gaussian"))
    runtime.enable_compilation_cache()
    return exit_code(lambda: measure(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
