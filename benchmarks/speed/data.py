"""Throughput of the data pipeline relative to the demo's train steps, and growth of its memory.

python -m benchmarks.speed.data [digits mnist5k fashion_mnist avatars32 ...]
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import jax
import psutil

from benchmarks.record import record
from sde_vae.build.config import load_config
from sde_vae.build.experiment import build
from sde_vae.data.pipeline import Pipeline
from sde_vae.training.parallel import parallelise
from sde_vae.training.stage import Stage, parts_of
from sde_vae.training.train_state import init_state
from sde_vae.types import Frozen

ROUNDS, BATCHES, STEPS = 3, 100, 10
EPOCHS = 5


def stepper(stage: Stage, frozen: Frozen) -> Callable[[int], None]:
    """Returns run(n): n train steps on one batch that is on the device already, so that only the steps are timed."""
    parallel = parallelise(
        partial(parts_of, stage),
        stage.parallel,
        stage.batch_size,
        jax.local_devices(),
    )
    key = jax.random.key(0)
    state, frozen, key = parallel.place((init_state(stage.method, stage.optimiser, key), frozen, key))
    batch = parallel.place_batch(next(stage.open_data(None).batches(0, 1)))

    def run(n: int) -> None:
        nonlocal state
        for _ in range(n):
            state, metrics = parallel.update(state, frozen, key, batch)
        jax.block_until_ready((state, metrics))

    return run


def feed(pipeline: Pipeline, n: int) -> None:
    for _ in pipeline.batches(0, n):
        pass


def rate(run: Callable[[], None], images: int) -> float:
    start = time.perf_counter()
    run()
    return images / (time.perf_counter() - start)


def growth(pipeline: Pipeline) -> float:
    """MiB of resident memory added by the epochs 2 .. EPOCHS."""
    epoch = len(pipeline.images) // pipeline.batch_size
    seen = []
    for i, _ in enumerate(pipeline.batches(0, EPOCHS * epoch), start=1):
        if i in (epoch, EPOCHS * epoch):
            seen.append(psutil.Process().memory_info().rss)
    return (seen[1] - seen[0]) / 2**20


def main(names: list[str]) -> None:
    experiments = {name: build(load_config(f"scorevae_{name}")) for name in names}
    pipelines = {name: e.stages[0].open_data(None) for name, e in experiments.items()}
    prior, encoder = build(load_config("scorevae_digits")).stages
    frozen = {"prior": prior.method.init(jax.random.key(0))}
    steppers = {"prior": stepper(prior, {}), "encoder": stepper(encoder, frozen)}
    for run in steppers.values():
        run(2)
    for pipeline in pipelines.values():
        feed(pipeline, 10)

    rates: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, run in steppers.items():
            rates.setdefault(name, []).append(rate(lambda run=run: run(STEPS), STEPS * prior.batch_size))
        for name, pipeline in pipelines.items():
            images = BATCHES * pipeline.batch_size
            rates.setdefault(name, []).append(rate(lambda p=pipeline: feed(p, BATCHES), images))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    grown = {name: growth(pipeline) for name, pipeline in pipelines.items()}

    consumed = max(medians["prior"], medians["encoder"])
    rows = [
        [name, f"{medians[name]:,.0f}", f"{medians[name] / consumed:.0f}", f"{grown[name]:+.1f}", f"{len(p.images):,}"]
        for name, p in pipelines.items()
    ]
    notes = (
        f"The demo's train steps (8x8 digits, batch {prior.batch_size}) consume {medians['prior']:,.0f} (prior) and "
        f"{medians['encoder']:,.0f} (encoder) images/s. Medians of {ROUNDS} interleaved rounds, no worker processes."
    )
    head = [
        "pipeline",
        "images/s ↑",
        "relative to the demo's faster step ↑",
        f"memory growth over {EPOCHS} epochs, MiB ↓",
        "images",
    ]
    record("data", "The data pipeline", {"images_per_second": rates, "mib_grown": grown}, head, rows, notes)


if __name__ == "__main__":
    main(sys.argv[1:] or ["digits", "fashion_mnist", "avatars32"])
