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

from sde_vae import pictures
from sde_vae.bounds import terms
from sde_vae.bounds.discrete import discrete_diffusion, fitted_diffusion, step_errors
from sde_vae.bounds.ode_likelihood import hutchinson, ode_bound
from sde_vae.data.dataset import spread, to_model
from sde_vae.evaluators.monte_carlo import mean_of_draws
from sde_vae.evaluators.rounds import rounds
from sde_vae.evaluators.subject import Subject
from sde_vae.metrics.images import standard_error
from sde_vae.pictures import Line, Panel
from sde_vae.solvers import grids
from sde_vae.streaming import stream
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


def ladder(subject: Subject) -> Named:
    """ladder/GRID/T and its standard error over the images, ladder/fitted/T, ladder/continuous, ladder/ode; and `rounds`."""
    sde, score = subject.model.decoder.sde, subject.model.prior
    strata = count(subject) * DRAWS
    found = {}
    for name, make_grid in GRIDS.items():
        for T in STEPS:
            grid = make_grid(sde, T)
            nats = lambda key, batch, grid=grid: discrete_diffusion(sde, score, grid, strata, key, batch)
            found[f"{name}/{T}"] = total(subject, nats, DRAWS, f"{T} steps, {name}")
    for T in (T for T in STEPS if T <= FITTED):
        found[f"fitted/{T}"] = fitted(subject, grids.uniform_log_snr(sde, T))
    continuous = lambda key, batch: terms.diffusion(sde, score, key, batch, strata)
    found["continuous"] = total(subject, continuous, DRAWS, "the continuous bound")

    def ode(key: jax.Array, batch: Batch) -> PerExample:
        return ode_bound(sde, score, hutchinson, subject.data.levels, key, batch).total

    found["ode"] = bits_per_image(subject, ode, 1, "the ODE's likelihood")
    named = {f"ladder/{name}": float(values.mean()) for name, values in found.items()}
    more = dict(rounds(subject))
    draw(named | more, subject.pictures / "ladder.png")
    yield from named.items()
    yield from ((f"ladder/{name}_stderr", standard_error(values)) for name, values in found.items())
    yield "ladder/n", float(count(subject))
    yield from more.items()


def count(subject: Subject) -> int:
    """Of the images that the bounds are told of: as many as DRAWS make a multiple of all T, if there are."""
    n, unit = min(IMAGES, len(subject.data.test)), max(1, max(STEPS) // DRAWS)
    return n // unit * unit or n


def bits_per_image(subject: Subject, nats: Nats, draws: int, label: str) -> np.ndarray:
    """bits/dim of each image, the mean of `draws` one-sample estimates of so many nats: [n]."""
    key = jax.random.key(subject.seed)
    one_draw = lambda batch: terms.bits_per_dim(nats(key, batch), batch.x)
    return mean_of_draws(label, subject, count(subject), draws, one_draw)


def total(subject: Subject, diffusion: Nats, draws: int, label: str) -> np.ndarray:
    """bits_per_image of a diffusion term and the two terms that every model of the ladder shares."""
    sde, levels = subject.model.decoder.sde, subject.data.levels

    def nats(key: jax.Array, batch: Batch) -> PerExample:
        key_diffusion, key_reconstruction = jax.random.split(key)
        return (
            terms.prior_kl(sde, batch.x)
            + diffusion(key_diffusion, batch)
            + terms.reconstruction(sde, levels, key_reconstruction, batch)
        )

    return bits_per_image(subject, nats, draws, label)


def fitted(subject: Subject, grid: grids.Grid) -> np.ndarray:
    """The bound whose every step has the best variance for training images: [n]."""
    sde, score, data = subject.model.decoder.sde, subject.model.prior, subject.data
    steps, key = grid.shape[0] - 1, jax.random.key(subject.seed)
    errors = jax.jit(lambda x, index: step_errors(sde, score, grid, key, Batch(x, index)))
    train = to_model(spread(data.train, IMAGES), data.levels)
    index = np.arange(len(train), dtype=np.int32)
    found = stream(errors, subject.batch_size, train, index, label=f"fit {steps} variances", parts=subject.parts)
    dimensions = train[0].size
    mean_error = jnp.asarray(found.mean(axis=0) / dimensions)

    def diffusion(key: jax.Array, batch: Batch) -> PerExample:
        return fitted_diffusion(sde, grid, step_errors(sde, score, grid, key, batch), mean_error, dimensions)

    return total(subject, diffusion, 1, f"{steps} steps, fitted")


def draw(metrics: dict[str, float], path: Path) -> None:
    """bits/dim against T; and the Frechet distance of the samples against the rounds, if it is known."""

    def line(prefix: str) -> Line:
        points = {name.removeprefix(prefix).split("/")[0]: v for name, v in metrics.items() if name.startswith(prefix)}
        return [float(x) for x in points], list(points.values())

    bounds = {
        "equal steps in t": line("ladder/uniform_t/"),
        "equal steps in logSNR": line("ladder/uniform_log_snr/"),
        "the same, variances fitted": line("ladder/fitted/"),
    }
    levels = {"T → ∞": metrics["ladder/continuous"], "the ODE": metrics["ladder/ode"]}
    panels = [Panel("One prior, as a hierarchy of T latents", "T", "bits/dim", bounds, levels, log_y=True)]
    of_samples = {"diffusion": line("ladder/rounds/diffusion/"), "VAE, again and again": line("ladder/rounds/vae/")}
    if all(x for x, _ in of_samples.values()):
        fd = next(name for name in metrics if name.startswith("ladder/rounds/")).split("/")[-1]
        panels.append(Panel("Samples", "decodings", fd, of_samples, {}, log_y=False))
    pictures.lines(panels, path)
