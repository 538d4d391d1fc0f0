"""Steps that are timed: a call makes one, and returns when it is done."""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from tqdm import tqdm

from sde_vae.devices import Device
from sde_vae.diffusion.sdes import SDE
from sde_vae.inference.decoding import Decoder, decode, start
from sde_vae.solvers.grids import uniform_t
from sde_vae.solvers.stochastic import ancestral
from sde_vae.training.parallel import parallelise
from sde_vae.training.stage import Stage, parts_of
from sde_vae.training.train_state import init_state
from sde_vae.types import Batch, ScoreFn

Step = Callable[[], None]


def simulate(devices: int) -> None:
    """Let this process have so many devices. It comes before the first use of one."""
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"


def training_step(stage: Stage, frozen: dict[str, Any], batch: Batch, mode: str, devices: list[Device]) -> Step:
    """Return a step that updates the parameters of a stage in one of the modes of config.parallel, from its own initial ones."""
    parallel = parallelise(partial(parts_of, stage), mode, len(batch.x), devices)
    state = parallel.place(init_state(stage.method, stage.optimiser, key := jax.random.key(0)))
    frozen, key, batch = parallel.place(frozen), parallel.place(key), parallel.place_batch(batch)

    def step() -> None:
        nonlocal state
        state, _ = parallel.update(state, frozen, key, batch)
        jax.block_until_ready(state.step)

    return step


def decoding_step(
    sde: SDE, evaluations: int, score_of: Callable[..., ScoreFn], inputs: tuple[Any, ...], shape: tuple[int, ...]
) -> Step:
    """Return a step that decodes [batch, H, W, C] by ancestral sampling with the score of score_of(*inputs), in so many evaluations."""
    decoder = Decoder(sde, ancestral, uniform_t(sde, evaluations), lambda sde, score, x, t: x)
    key = jax.random.key(0)

    @jax.jit
    def run(key: jax.Array, inputs: tuple[Any, ...]) -> jax.Array:
        return decode(decoder, score_of(*inputs), *start(sde, key, jnp.zeros(shape), jnp.arange(shape[0])))

    return lambda: run(key, inputs).block_until_ready()


def in_turn(steps: list[Step], rounds: int) -> list[list[float]]:
    """Return the seconds of each step in each round: the steps run in turn, so that what disturbs the machine disturbs all."""
    for step in tqdm(steps, desc="compiling"):
        timed(step, 2)
    found = [[timed(step, 3) for step in steps] for _ in tqdm(range(rounds), desc="rounds")]
    return [list(times) for times in zip(*found, strict=True)]


def timed(step: Step, times: int) -> float:
    """Return the seconds of a step, the mean of so many in a row."""
    began = time.perf_counter()
    for _ in range(times):
        step()
    return (time.perf_counter() - began) / times
