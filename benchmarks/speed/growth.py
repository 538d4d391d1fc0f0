"""How cost grows: a training step with batch, resolution and devices, and decoding with evaluations.

    python -m benchmarks.speed.growth [--rounds 5]

The steps of all points run in turn, for --rounds rounds; a figure is the median. Devices are simulated on this processor, which they share:
what grows with them is the cost of their being several, at one global batch. Writes benchmarks/results/growth.{json,md,png}.
"""

import statistics
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator
from tqdm import tqdm

from benchmarks.arguments import parser_of
from benchmarks.record import RESULTS, record, save_png
from benchmarks.speed.running import Step, decoding_step, in_turn, simulate, training_step
from benchmarks.speed.summary import growth, lines_of
from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import Experiment, build
from sde_vae.types import Batch

NAME = "growth"
STAGES = ("prior", "encoder")
BATCHES, SIZES, EVALUATIONS = (8, 16, 32, 64, 128), (16, 32, 64), (5, 10, 20, 40)
DEVICES, MODES = (1, 2, 4, 8), ("pmap", "data", "fsdp")
# Images of what is not swept, decoded or in a batch.
OF_DEVICES, OF_SIZES, DECODED = 64, 2, 32
DIGITS, PHOTOS = "scorevae_digits", "scorevae_celeba64"


class Point(NamedTuple):
    """One step of a sweep: which line of it, and where on it."""

    sweep: str
    line: str
    at: int
    step: Step


def experiment_of(config: str, changes: dict[str, Any]) -> Experiment:
    return build(set_fields(load_config(config), changes))


def initial(experiment: Experiment) -> dict[str, Any]:
    """The initial parameters of each stage."""
    return {stage.name: stage.method.init(jax.random.key(0)) for stage in experiment.stages}


def step_of(config: str, name: str, batch: int, changes: dict[str, Any], mode: str = "pmap", devices: int = 1) -> Step:
    """A training step of a stage of a config, on random images."""
    experiment = experiment_of(config, {f"stages.{name}.batch_size": batch} | changes)
    stage, params = next(stage for stage in experiment.stages if stage.name == name), initial(experiment)
    x = np.random.default_rng(0).uniform(-1, 1, (batch, *experiment.shape)).astype(np.float32)
    frozen = {of: params[of] for of in stage.depends_on}
    return training_step(stage, frozen, Batch(x, np.arange(batch, dtype=np.int32)), mode, jax.devices()[:devices])


def points() -> Iterator[Point]:
    for name in STAGES:
        for n in BATCHES:
            yield Point("batch", name, n, step_of(DIGITS, name, n, {}))
        for size in SIZES:
            small = {"data.image_size": size, "model.prior.channels": 32}
            yield Point("pixels a side", name, size, step_of(PHOTOS, name, OF_SIZES, small))
    for mode in MODES:
        for n in DEVICES:
            yield Point("devices", mode, n, step_of(DIGITS, "prior", OF_DEVICES, {}, mode, n))
    experiment = experiment_of(DIGITS, {})
    params, method = initial(experiment), experiment.final.method
    of_prior = lambda params, z: method.unconditional(params["encoder"], params)
    guided = lambda params, z: method.score(params["encoder"], params, z)
    z = jnp.zeros((DECODED, load_config(DIGITS).model.latent_dim))
    for name, score in {"prior": of_prior, "guided by the encoder": guided}.items():
        for n in EVALUATIONS:
            sde, shape = experiment.decoder.sde, (DECODED, *experiment.shape)
            yield Point("evaluations", name, n, decoding_step(sde, n, score, (params, z), shape))


def measure(rounds: int) -> list[dict[str, Any]]:
    """A row a point."""
    found = list(tqdm(points(), desc="building"))
    return [
        {"sweep": of.sweep, "line": of.line, "at": of.at, "ms": 1000 * statistics.median(times)}
        for of, times in zip(found, in_turn([of.step for of in found], rounds), strict=True)
    ]


def draw(rows: list[dict[str, Any]]) -> None:
    """A panel a sweep, on logarithmic axes: a line that rises as the grey one costs in proportion."""
    lines = lines_of(rows)
    sweeps = list(dict.fromkeys(sweep for sweep, _ in lines))
    fig, axes = plt.subplots(1, len(sweeps), figsize=(3.4 * len(sweeps), 3.4), layout="constrained")
    for axis, sweep in zip(axes, sweeps, strict=True):
        of_sweep = {line: points for (of, line), points in lines.items() if of == sweep}
        for line, points in of_sweep.items():
            axis.plot(*zip(*points, strict=True), "o-", markersize=4, label=line)
        ticks = [at for at, _ in next(iter(of_sweep.values()))]
        least = min(ms for points in of_sweep.values() for _, ms in points)
        axis.plot(ticks, [least * at / ticks[0] for at in ticks], color="0.75", linestyle="--", zorder=0)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks(ticks, map(str, ticks))
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.set_xlabel(sweep)
        axis.legend(fontsize=8)
    axes[0].set_ylabel("ms")
    save_png(fig, RESULTS / f"{NAME}.png")


def main() -> None:
    parser = parser_of("benchmarks.speed.growth", __doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    simulate(DEVICES[-1])
    rows = measure(options.rounds)
    (head, *lines), caption = growth(rows)
    notes = (
        f"{caption} Batch and evaluations: {DIGITS}, 8x8; {DECODED} images are decoded. Pixels: {PHOTOS} with 32 channels in its prior, {OF_SIZES} images. "
        f"Devices: {DIGITS} at a global batch of {OF_DEVICES}, on simulated devices that share this processor."
    )
    record(NAME, "How cost grows", {"rows": rows}, head, lines, notes)
    draw(rows)


if __name__ == "__main__":
    main()
