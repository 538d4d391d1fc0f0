"""Memory of each device, with the state of training replicated and with it sharded: the prior of CelebA-HQ at 256x256.

    python -m benchmarks.speed.sharding [--devices 8]

Compiles the update for simulated devices, as training does, and reads what the program accounts for. Nothing is allocated or trained. The
network is that of the 256x256 plan (`benchmarks.speed.plan`), with an image on each device. Writes benchmarks/results/sharding.{json,md}.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

from benchmarks.arguments import parser_of
from benchmarks.record import record
from benchmarks.speed.plan import PLANS
from benchmarks.speed.running import simulate
from benchmarks.speed.summary import sharding
from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.devices import mesh_of, replicated, sharded
from sde_vae.training.parallel import longest_divisible, parallelise
from sde_vae.training.stage import Stage, parts_of
from sde_vae.training.train_state import abstract_state
from sde_vae.types import Batch

MODES = ("data", "fsdp")


class Memory(NamedTuple):
    """Bytes on each device: the state between steps, and what a step needs beside it."""

    state: int
    beside: int


def of_mode(stage: Stage, shape: tuple[int, ...], mode: str, batch: int, devices: list[Any]) -> Memory:
    """Return the memory of an update with this global batch in a mode of config.parallel."""
    mesh = mesh_of(devices)
    placed = partial(_placed, mesh, mode == "fsdp")
    state = jax.tree.map(placed, abstract_state(stage.method, stage.optimiser))
    rows = lambda shape, dtype: jax.ShapeDtypeStruct(shape, dtype, sharding=sharded(mesh))
    images = Batch(rows((batch, *shape), jnp.float32), rows((batch,), jnp.int32))
    key = jax.eval_shape(lambda: jax.random.key(0))
    update = parallelise(partial(parts_of, stage), mode, batch, devices).update
    program = update.lower(state, {}, key, images).compile().memory_analysis()
    between = sum(a.dtype.itemsize * math.prod(a.sharding.shard_shape(a.shape)) for a in jax.tree.leaves(state))
    return Memory(between, program.temp_size_in_bytes)


def _placed(mesh: Mesh, split: bool, a: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    of = NamedSharding(mesh, longest_divisible(a.shape, mesh.size)) if split else replicated(mesh)
    return jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=of)


def main() -> None:
    parser = parser_of("benchmarks.speed.sharding", __doc__)
    parser.add_argument("--devices", type=int, default=8)
    options = parser.parse_args()
    simulate(options.devices)
    config, changes = PLANS["256x256"]
    changes = changes | {"stages.prior.batch_size": options.devices}
    experiment = build(set_fields(load_config(config), changes))
    rows = [
        {
            "mode": mode,
            **of_mode(experiment.stages[0], experiment.shape, mode, options.devices, jax.devices())._asdict(),
        }
        for mode in MODES
    ]
    (head, *lines), caption = sharding(rows)
    notes = f"{caption} {options.devices} simulated devices, one image on each."
    record("sharding", "Memory of each device at 256x256", {"rows": rows}, head, lines, notes)


if __name__ == "__main__":
    main()
