"""The ladder from VAE to SDE, climbed with one trained prior: the same score, bounded as ever finer a hierarchy of latents.

    T = 1        a VAE whose latent is as large as the data: q(x_T | x_0), and one decoding step
    T = 2, 4, .. a Markovian hierarchical VAE, which is DDPM                                    (arXiv:2208.11970, 2006.11239)
    T -> inf     VDM's continuous bound                                                         (arXiv:2107.00630)
    the ODE      the exact density of x_eps in the deterministic model with the same score      (arXiv:2011.13456)

All are told in bits/dim on the same images, with the same last term (the discretised decoder), all but the ODE with the same
first one (the prior's KL).
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.bounds import terms
from sde_vae.bounds.discrete import discrete_diffusion, fitted_diffusion, step_errors
from sde_vae.bounds.ode_likelihood import hutchinson, ode_bound
from sde_vae.data.dataset import evenly_spaced, to_model
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.iterated_decoding import iterated_decoding
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.monte_carlo import mean_of_draws
from sde_vae.metrics.image.distances import standard_error
from sde_vae.reporting import plots
from sde_vae.reporting.plots import Line, Panel
from sde_vae.solvers import grids
from sde_vae.types import Batch, PerExample

# The first so many held-out images, and so many draws of (t, eps) each: together a multiple of every T, so that every one of the
# T steps is taken equally often.
IMAGES, DRAWS = 128, 64
STEPS = tuple(2**k for k in range(11))
# The variances of up to so many steps are fitted.
FITTED = 64
GRIDS = {"uniform_t": grids.uniform_t, "uniform_log_snr": grids.uniform_log_snr}
Named = Iterator[tuple[str, float]]
# Nats(key, batch) -> [batch]: a diffusion term.
Nats = Callable[[jax.Array, Batch], PerExample]


def elbo_vs_steps(context: EvalContext) -> Named:
    """elbo_vs_steps/GRID/T and its standard error over the images, elbo_vs_steps/fitted/T, elbo_vs_steps/continuous, elbo_vs_steps/ode; and `rounds`."""
    sde, score = context.model.decoder.sde, context.model.prior
    strata = image_count(context) * DRAWS
    found = {}
    for name, make_grid in GRIDS.items():
        for T in STEPS:
            grid = make_grid(sde, T)
            nats = lambda key, batch, grid=grid: discrete_diffusion(sde, score, grid, strata, key, batch)
            found[f"{name}/{T}"] = total(context, nats, DRAWS, f"{T} steps, {name}")
    for T in (T for T in STEPS if T <= FITTED):
        found[f"fitted/{T}"] = fitted(context, grids.uniform_log_snr(sde, T))
    continuous = lambda key, batch: terms.diffusion(sde, score, key, batch, strata)
    found["continuous"] = total(context, continuous, DRAWS, "the continuous bound")

    def ode(key: jax.Array, batch: Batch) -> PerExample:
        return ode_bound(sde, score, hutchinson, context.data.levels, key, batch).total

    found["ode"] = bits_per_image(context, ode, 1, "the ODE's likelihood")
    named = {f"elbo_vs_steps/{name}": float(values.mean()) for name, values in found.items()}
    more = dict(iterated_decoding(context))
    draw(named | more, context.figures / "elbo_vs_steps.png")
    yield from named.items()
    yield from ((f"elbo_vs_steps/{name}_stderr", standard_error(values)) for name, values in found.items())
    yield "elbo_vs_steps/n", float(image_count(context))
    yield from more.items()


def image_count(context: EvalContext) -> int:
    """Of the images that the bounds are told of: as many as DRAWS make a multiple of all T, if there are."""
    n, unit = min(IMAGES, len(context.data.test)), max(1, max(STEPS) // DRAWS)
    return n // unit * unit or n


def bits_per_image(context: EvalContext, nats: Nats, draws: int, label: str) -> np.ndarray:
    """bits/dim of each image, the mean of `draws` one-sample estimates of so many nats: [n]."""
    key = jax.random.key(context.seed)
    one_draw = jax.jit(lambda x, index: terms.bits_per_dim(nats(key, Batch(x, index)), x))
    images = (context.data.test[: image_count(context)],)
    return mean_of_draws(label, images, draws, one_draw, context.batch_size, context.cache)


def total(context: EvalContext, diffusion: Nats, draws: int, label: str) -> np.ndarray:
    """bits_per_image of a diffusion term and the two terms that every model of the ladder shares."""
    sde, levels = context.model.decoder.sde, context.data.levels

    def nats(key: jax.Array, batch: Batch) -> PerExample:
        key_diffusion, key_reconstruction = jax.random.split(key)
        return (
            terms.prior_kl(sde, batch.x)
            + diffusion(key_diffusion, batch)
            + terms.reconstruction(sde, levels, key_reconstruction, batch)
        )

    return bits_per_image(context, nats, draws, label)


def fitted(context: EvalContext, grid: grids.Grid) -> np.ndarray:
    """The bound whose every step has the best variance for training images: [n]."""
    sde, score, data = context.model.decoder.sde, context.model.prior, context.data
    steps, key = grid.shape[0] - 1, jax.random.key(context.seed)
    errors = jax.jit(lambda x, index: step_errors(sde, score, grid, key, Batch(x, index)))
    train = to_model(evenly_spaced(data.train, IMAGES), data.levels)
    index = np.arange(len(train), dtype=np.int32)
    found = batched_map(errors, context.batch_size, train, index, label=f"fit {steps} variances", cache=context.cache)
    dimensions = train[0].size
    mean_error = jnp.asarray(found.mean(axis=0) / dimensions)

    def diffusion(key: jax.Array, batch: Batch) -> PerExample:
        return fitted_diffusion(sde, grid, step_errors(sde, score, grid, key, batch), mean_error, dimensions)

    return total(context, diffusion, 1, f"{steps} steps, fitted")


def draw(metrics: dict[str, float], path: Path) -> None:
    """bits/dim against T; and the Frechet distance of the samples against the rounds, if it is known."""

    def line(prefix: str) -> Line:
        points = {name.removeprefix(prefix).split("/")[0]: v for name, v in metrics.items() if name.startswith(prefix)}
        return [float(x) for x in points], list(points.values())

    bounds = {
        "equal steps in t": line("elbo_vs_steps/uniform_t/"),
        "equal steps in logSNR": line("elbo_vs_steps/uniform_log_snr/"),
        "the same, variances fitted": line("elbo_vs_steps/fitted/"),
    }
    levels = {"T → ∞": metrics["elbo_vs_steps/continuous"], "the ODE": metrics["elbo_vs_steps/ode"]}
    panels = [Panel("One prior, as a hierarchy of T latents", "T", "bits/dim", bounds, levels, log_y=True)]
    of_samples = {
        "diffusion": line("iterated_decoding/diffusion/"),
        "VAE, again and again": line("iterated_decoding/vae/"),
    }
    if all(x for x, _ in of_samples.values()):
        fd = next(name for name in metrics if name.startswith("iterated_decoding/")).split("/")[-1]
        panels.append(Panel("Samples", "multi_sample", fd, of_samples, {}, log_y=False))
    plots.lines(panels, path)
