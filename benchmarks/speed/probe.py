"""One measurement of `benchmarks.speed.overhead`, in a process of its own: python probe.py TASK ARGUMENTS. It prints JSON.

It imports nothing but `sde_vae`, which PYTHONPATH may take from another clone: two versions of the code are measured alike.
"""

import json
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import psutil

from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.methods.method import Method
from sde_vae.training import logs
from sde_vae.training.loop import StopRequest, train_stage
from sde_vae.training.parallel import parallelise
from sde_vae.training.stage import Stage, parts_of
from sde_vae.training.train_state import adam, constant, init_state
from sde_vae.types import Batch

COMPILED = "/jax/core/compile/backend_compile_duration"
# What the update's program is called in each mode of config.parallel.
UPDATES = ("jit(update)", "jit(_fun)", "jit(gathered)")


class Noise:
    """Batches of 8 x 4 numbers, in the place of a Pipeline."""

    def batches(self, start: int, stop: int):
        for _ in range(start, stop):
            yield Batch(np.ones((8, 4), np.float32), np.arange(8, dtype=np.int32))

    def state(self, step: int) -> dict:
        return {"next_batch": step}

    def check(self, state: dict, where: str) -> None:
        pass


def frozen(mode: str, steps: str) -> dict:
    """Train a method that reads one number of each array of CelebA's prior, which is frozen: milliseconds a step."""
    prior = build(load_config("scorevae_celeba64")).prior
    arrays = jax.tree.map(lambda a: np.ones(a.shape, a.dtype), jax.eval_shape(prior.init, jax.random.key(0)))

    def loss(params, frozen, key, batch):
        read = sum(leaf.ravel()[0] for leaf in jax.tree.leaves(frozen))
        total = jnp.mean(jnp.square(batch.x - params["w"][None])) + 0 * read
        return total, {"loss": total}

    stage = Stage(
        name="encoder",
        method=Method(lambda key: {"w": jnp.zeros(4)}, loss),
        depends_on=("prior",),
        optimiser=adam(1e-3, 100, 0, 1.0, constant),
        ema_decay=0.99,
        open_data=lambda images: Noise(),
        batch_size=8,
        steps=int(steps),
        checkpoint_every=10**6,
        log_every=5,
        keep=1,
        parallel=mode,
        seed=0,
    )
    with tempfile.TemporaryDirectory() as folder, StopRequest() as stop:
        train_stage(stage, {"prior": arrays}, Path(folder), stop)
        rates = [
            row["steps_per_second"] for row in logs.read(Path(folder) / "metrics.jsonl") if "steps_per_second" in row
        ]
    return {
        "ms": 1000 / float(np.median(rates)) if rates else None,
        "frozen_bytes": sum(a.nbytes for a in jax.tree.leaves(arrays)),
    }


class StopAfter:
    """A stop request that comes at step n: `requested` is read once a step. `seconds` count from the start of the process to there."""

    def __init__(self, n: int):
        self._left, self.seconds = n, 0.0

    @property
    def requested(self) -> bool:
        self._left -= 1
        self.seconds = time.time() - psutil.Process().create_time()
        return self._left <= 0


def train(config: str, changes: str, directory: str) -> dict:
    """Train the first stage for 3 steps: how often its update was compiled, and the seconds of all compilations (or loads from the cache)."""
    compiled = defaultdict(list)

    def listen(event: str, seconds: float, **facts) -> None:
        if event == COMPILED:
            compiled[facts.get("fun_name", "?")].append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    stage = build(set_fields(load_config(config), json.loads(changes))).stages[0]
    stop = StopAfter(3)
    train_stage(stage, {}, Path(directory) / stage.name, stop)
    updates = [seconds for name in UPDATES for seconds in compiled.get(name, [])]
    return {"seconds": stop.seconds, "updates": len(updates), "compiling": sum(map(sum, compiled.values()))}


def memory(config: str, batch_size: str) -> dict:
    """Compile the prior's update as the loop does: bytes of the state, and what a step holds at most, arguments and results included."""
    experiment = build(load_config(config))
    stage, size = experiment.stages[0], int(batch_size)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(lambda key: init_state(stage.method, stage.optimiser, key), key)
    update = parallelise(partial(parts_of, stage), "data", 1, jax.devices()).update
    batch = Batch(
        jax.ShapeDtypeStruct((size, *experiment.shape), jnp.float32), jax.ShapeDtypeStruct((size,), jnp.int32)
    )
    of = update.lower(state, {}, key, batch).compile().memory_analysis()
    peak = of.argument_size_in_bytes + of.output_size_in_bytes - of.alias_size_in_bytes + of.temp_size_in_bytes
    return {"state": sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(state)), "peak": peak}


if __name__ == "__main__":
    task, *words = sys.argv[1:]
    print(json.dumps({"frozen": frozen, "train": train, "memory": memory}[task](*words)))
