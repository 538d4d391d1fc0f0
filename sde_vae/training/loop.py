"""The training loop: one stage, from its newest checkpoint to its last step."""

import contextlib
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from sde_vae.data.dataset import Images
from sde_vae.data.pipeline import prefetch
from sde_vae.devices import training_devices
from sde_vae.errors import Diverged
from sde_vae.hosts.together import agree, is_first, several
from sde_vae.keys import stream
from sde_vae.training.checkpoints import Checkpoints
from sde_vae.training.description import digest
from sde_vae.training.logs import MetricsLog, NoLog
from sde_vae.training.parallel import parallelise
from sde_vae.training.shared_stop import SharedStop
from sde_vae.training.signals import StopRequest
from sde_vae.training.stage import Stage, parts_of
from sde_vae.training.train_state import TrainState, abstract_state, init_state
from sde_vae.types import Frozen, Metrics


def train_stage(
    stage: Stage,
    frozen: Frozen,
    directory: Path,
    stop: StopRequest,
    synthetic: Images | None = None,
    record: dict[str, Any] | None = None,
) -> bool:
    """Train one stage to its last step. Returns True when done, or False if `stop` was requested, with the state saved.

    Of several processes each has the same arguments, and its own signals: a request to one stops all, after the same step.

    Each checkpoint keeps `record`, JSON: the config, and what the stage stands on.

    Raises Diverged, which names the step, the term of the loss and the last good checkpoint. A checkpoint is saved only after
    all losses up to it have been found finite.
    """
    devices = training_devices()
    parallel = parallelise(
        partial(parts_of, stage),
        stage.parallel,
        stage.batch_size,
        devices,
        f"config.stages.{stage.name}.batch_size",
        stage.accumulation,
    )
    init_key, train_key = (stream(stage.seed, f"{purpose}/{stage.name}") for purpose in ("initialise", "train"))

    with Checkpoints(directory / "checkpoints", stage.name, stage.keep, record) as checkpoints:
        state = checkpoints.restore_latest(abstract_state(stage.method, stage.optimiser))
        if state is None:
            state, start = init_state(stage.method, stage.optimiser, init_key), 0
        else:
            start = int(state.step)
        data = stage.open_data(synthetic)
        if (before := checkpoints.data_state(start) if start else None) is not None:
            data.check(before, str(directory / "checkpoints" / str(start)))
        if start >= stage.steps:
            print(f"{stage.name}: finished at step {start}")
            return True
        frozen = stage.prepare(frozen)
        _require_same_start(stage.name, state, frozen, data.state(start))
        # Placed once: what a step finds elsewhere, it would move at every step.
        state, frozen, train_key = parallel.place((state, frozen, train_key))

        saved, pending, shared_stop = start, [], SharedStop(devices)
        # Without the first step, which includes the compilation.
        clock = Clock()
        with (
            MetricsLog(directory, start) if is_first() else contextlib.nullcontext(NoLog()) as log,
            tqdm(total=stage.steps, initial=start, desc=stage.name, unit="step", disable=not is_first()) as bar,
            contextlib.closing(prefetch(data.batches(start, stage.steps), parallel.place_batch)) as batches,
        ):
            for step, batch in enumerate(batches, start + 1):
                state, metrics = parallel.update(state, frozen, train_key, batch)
                pending.append((step, metrics))
                bar.update()

                # Read once a step: with two reads, a signal between them would end the loop without saving.
                stopping = shared_stop.after_step(stop.requested)
                saving = step % stage.checkpoint_every == 0 or step == stage.steps or stopping
                if step % stage.log_every == 0 or saving:
                    values = _finite(pending, directory / "checkpoints" / str(saved) if saved else None)
                    pending.clear()
                    rate = clock.rate(step)
                    bar.set_postfix(loss=f"{values['loss']:.4g}")
                    if step % stage.log_every == 0 or step == stage.steps:
                        log.write(step, values | ({"steps_per_second": rate} if rate else {}))
                if stage.preview and stage.preview_every and step % stage.preview_every == 0:
                    shown = parallel.whole((state.ema_params, frozen))
                    if is_first():
                        log.images(step, stage.preview(*shown))
                if saving:
                    checkpoints.save(parallel.whole(state), data.state(step))
                    saved = step
                if stopping:
                    return step == stage.steps
    return True


def _require_same_start(stage: str, state: TrainState, frozen: Frozen, data: dict[str, Any]) -> None:
    """Raise BadInput unless all processes begin with the same numbers and the same data."""
    if several():
        start = {"state": digest(state._asdict()), "frozen parameters": digest(frozen), **data}
        agree(f"{stage}: what it begins with", start, "give all hosts the same workdir, data and versions")


class Clock:
    """Measure steps per second between two readings."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None

    def rate(self, step: int) -> float | None:
        """Return steps per second since the last reading, or None at the first reading."""
        now, last = time.perf_counter(), self._last
        self._last = (step, now)
        return (step - last[0]) / (now - last[1]) if last else None


def _finite(pending: list[tuple[int, Metrics]], checkpoint: Path | None) -> dict[str, float]:
    """Return the newest metrics as floats. Raises Diverged for the first step with a term that is not finite."""
    values: dict[str, float] = {}
    for step, metrics in jax.device_get(pending):
        values = {name: float(value) for name, value in metrics.items()}
        # The total comes last: the other terms say more about the cause.
        for name in sorted(values, key=lambda name: name == "loss"):
            if not math.isfinite(values[name]):
                good = (
                    f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint was saved before it"
                )
                raise Diverged(f"step {step}: {name} is {values[name]}; {good}")
    return values
