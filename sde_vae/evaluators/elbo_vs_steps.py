"""The bound of one trained prior as a hierarchy of T latents: from a VAE over DDPM and VDM to the ODE, with the same score.

    T = 1        a VAE whose latent is as large as the data: q(x_T | x_0), and one decoding step
    T = 2, 4, .. a Markovian hierarchical VAE, which is DDPM                                    (arXiv:2208.11970, 2006.11239)
    T -> inf     VDM's continuous bound                                                         (arXiv:2107.00630)
    the ODE      the exact density of x_eps in the deterministic model with the same score      (arXiv:2011.13456)

All are in bits/dim on the same images and have the same last term, the discretised decoder; all but the ODE have the same first
term, the prior's KL.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.bounds import terms
from sde_vae.bounds.discrete import discrete_diffusion, fitted_diffusion, step_errors
from sde_vae.bounds.ode_likelihood import hutchinson, ode_bound
from sde_vae.data.dataset import evenly_spaced, to_model
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.iterated_decoding import iterated_decoding
from sde_vae.inference.model import ModelParams, in_float32
from sde_vae.inference.monte_carlo import mean_of_draws
from sde_vae.methods.method import required
from sde_vae.metrics.image.distances import standard_error
from sde_vae.reporting import plots
from sde_vae.reporting.plots import Line, Panel
from sde_vae.solvers import grids
from sde_vae.types import Batch, Indices, PerExample, Points, PRNGKey, ScoreFn

GRIDS = {"uniform_t": grids.uniform_t, "uniform_log_snr": grids.uniform_log_snr}
Named = Iterator[tuple[str, float]]
# Nats(score, key, batch, *more) -> one draw of a term of the prior's bound, in nats: [batch]
Nats = Callable[..., PerExample]


def elbo_vs_steps(
    context: EvalContext,
    steps: Sequence[int] = tuple(2**k for k in range(11)),
    images: int = 128,
    draws: int = 64,
    fitted: int = 64,
    iterations: Sequence[int] = (1, 4, 16, 64, 256, 1024),
    samples: int = 256,
) -> Named:
    """Yield bounds in bits/dim with their standard errors over the images, and the metrics of `iterated_decoding`.

    elbo_vs_steps/GRID/T      T steps, evenly spaced in t or in logSNR
    elbo_vs_steps/fitted/T    the latter with the variances of up to `fitted` steps fitted to training images
    elbo_vs_steps/continuous  the continuous bound
    elbo_vs_steps/ode         the likelihood by the ODE

    The first `images` test images are used, with `draws` draws of (t, eps) each; `iterations` and `samples` go to `iterated_decoding`.
    """
    sde = context.model.decoder.sde
    x = context.data.test[: image_count(len(context.data.test), images, draws, max(steps))]
    strata = len(x) * draws
    found = {}
    for name, make_grid in GRIDS.items():
        for T in steps:
            grid = make_grid(sde, T)
            nats = lambda score, key, batch, grid=grid: discrete_diffusion(sde, score, grid, strata, key, batch)
            found[f"{name}/{T}"] = total(context, x, nats, draws, f"{T} steps, {name}")
    for T in (T for T in steps if fitted >= T):
        found[f"fitted/{T}"] = fitted_total(context, x, grids.uniform_log_snr(sde, T), images)
    continuous = lambda score, key, batch: terms.diffusion(sde, score, key, batch, strata)
    found["continuous"] = total(context, x, continuous, draws, "the continuous bound")

    def ode(score: ScoreFn, key: PRNGKey, batch: Batch) -> PerExample:
        return ode_bound(sde, score, hutchinson, context.data.levels, key, batch).total

    found["ode"] = bits_per_image(context, x, ode, 1, "the ODE's likelihood")
    bounds = {f"elbo_vs_steps/{name}": float(values.mean()) for name, values in found.items()}
    distances = dict(iterated_decoding(context, iterations, samples))
    plot(bounds | distances, context.figures / "elbo_vs_steps.png")
    yield from bounds.items()
    yield from ((f"elbo_vs_steps/{name}_stderr", standard_error(values)) for name, values in found.items())
    yield "elbo_vs_steps/n", float(len(x))
    yield from distances.items()


def image_count(available: int, images: int, draws: int, most_steps: int) -> int:
    """Return how many images to use: at most `images`, where possible so many that every step is drawn equally often.

    The number of draws in all is then a multiple of every number of steps, if these are powers of two.
    """
    n, unit = min(images, available), max(1, most_steps // draws)
    return n // unit * unit or n


def bits_per_image(context: EvalContext, x: np.ndarray, nats: Nats, draws: int, label: str, *more: Any) -> np.ndarray:
    """Return the mean of `draws` one-sample estimates for each image of x, in bits/dim: [n]. `more` are arrays that `nats` takes."""
    prior, given = required(in_float32(context.model).prior, "prior"), len(more)

    def one_draw(params: ModelParams, key: PRNGKey, *rest: Any) -> PerExample:
        more, (x, index) = rest[:given], rest[given:]
        return terms.bits_per_dim(nats(prior(params), key, Batch(x, index), *more), x)

    return mean_of_draws(
        label, (x,), draws, context.compile("elbo_vs_steps", one_draw, *more), context.batch_size, context.cache
    )


def total(context: EvalContext, x: np.ndarray, diffusion: Nats, draws: int, label: str, *more: Any) -> np.ndarray:
    """Return the bound of each image of x, in bits/dim [n]: a diffusion term and the two terms that all hierarchies share."""
    sde, levels = context.model.decoder.sde, context.data.levels

    def nats(score: ScoreFn, key: PRNGKey, batch: Batch, *more: Any) -> PerExample:
        key_diffusion, key_reconstruction = jax.random.split(key)
        return (
            terms.prior_kl(sde, batch.x)
            + diffusion(score, key_diffusion, batch, *more)
            + terms.reconstruction(sde, levels, key_reconstruction, batch)
        )

    return bits_per_image(context, x, nats, draws, label, *more)


def fitted_total(context: EvalContext, x: np.ndarray, grid: grids.Grid, fitted: int) -> np.ndarray:
    """Return the bound of each image of x [n], every step with the variance that is best for `fitted` training images."""
    sde, prior, data = context.model.decoder.sde, required(in_float32(context.model).prior, "prior"), context.data
    steps = grid.shape[0] - 1
    train = to_model(evenly_spaced(data.train, fitted), data.levels)
    dimensions, index = train[0].size, np.arange(len(train), dtype=np.int32)

    def errors(params: ModelParams, key: PRNGKey, x: Points, index: Indices) -> jax.Array:
        return step_errors(sde, prior(params), grid, key, Batch(x, index))

    def diffusion(score: ScoreFn, key: PRNGKey, batch: Batch, mean_error: jax.Array) -> PerExample:
        return fitted_diffusion(sde, grid, step_errors(sde, score, grid, key, batch), mean_error, dimensions)

    found = context.map(
        context.compile("elbo_vs_steps, fitted variances", errors), f"fit {steps} variances", train, index
    )
    mean_error = jnp.asarray(found.mean(axis=0) / dimensions)
    return total(context, x, diffusion, 1, f"{steps} steps, fitted", mean_error)


def plot(metrics: dict[str, float], path: Path) -> None:
    """Plot bits/dim against T and, where it is known, the Frechet distance of the samples against the number of decodings."""

    def line(prefix: str) -> Line:
        points = {name.removeprefix(prefix).split("/")[0]: v for name, v in metrics.items() if name.startswith(prefix)}
        return [float(x) for x in points], list(points.values())

    bounds = {
        "equal steps in t": line("elbo_vs_steps/uniform_t/"),
        "equal steps in logSNR": line("elbo_vs_steps/uniform_log_snr/"),
        "the same, variances fitted": line("elbo_vs_steps/fitted/"),
    }
    constants = {"T → ∞": metrics["elbo_vs_steps/continuous"], "the ODE": metrics["elbo_vs_steps/ode"]}
    panels = [Panel("Bound of the prior as a hierarchy of T latents", "T", "bits/dim", bounds, constants, log_y=True)]
    distances = {
        "diffusion model": line("iterated_decoding/diffusion/"),
        "VAE, decoded and encoded again": line("iterated_decoding/vae/"),
    }
    if all(x for x, _ in distances.values()):
        fd = next(name for name in metrics if name.startswith("iterated_decoding/")).split("/")[-1]
        panels.append(Panel("Samples by the number of decodings", "decodings", fd, distances, {}, log_y=False))
    plots.lines(panels, path)
