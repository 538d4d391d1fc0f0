"""Cost of each solver as one compiled loop, relative to the same steps compiled alone and called one after another.

    python -m benchmarks.speed.solver_loops [--data digits --data fashion_mnist ...]

Decodes with the untrained networks of configs/scorevae_DATA.py. On CPU a gradient in a loop can be many times slower than outside
of one, and an unrolled loop many times slower to compile. LIMITS are the aims.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from tqdm import tqdm

from benchmarks.arguments import parser_of
from benchmarks.record import record
from benchmarks.solvers.candidates import SOLVERS
from sde_vae.arrays import fold
from sde_vae.build.config import load_config
from sde_vae.build.experiment import build
from sde_vae.diffusion.sdes import SDE
from sde_vae.inference.decoding import start
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.step import Solver, integrate
from sde_vae.types import Latents, ScoreFn

STEPS, BATCH, ROUNDS, COMPILES = 8, 16, 9, 3
LIMITS = {"time": 1.15, "compile": 3.0}


def guided(data: str) -> tuple[SDE, jax.Array, jax.Array, Callable[[Latents], ScoreFn]]:
    """(the SDE, a batch of latents, images of their shape, z -> its score)."""
    config = load_config(f"scorevae_{data}")
    experiment = build(config)
    params, prior = (of.init(jax.random.key(0)) for of in (experiment.final.method, experiment.prior))
    z = jax.random.normal(jax.random.key(1), (BATCH, config.model.latent_dim))
    return (
        experiment.decoder.sde,
        z,
        jnp.zeros((BATCH, *experiment.shape)),
        lambda z: experiment.final.method.score(params, {"prior": prior}, z),
    )


def measure(
    sde: SDE, z: jax.Array, like: jax.Array, score: Callable[[Latents], ScoreFn], solver: Solver
) -> dict[str, list[float]]:
    """Seconds: "loop" and "steps" of STEPS steps, "compile_loop" and "compile_step"; one of each a round."""
    keys, x_T = start(sde, jax.random.key(2), like, jnp.arange(BATCH))
    times = uniform_log_snr(sde, STEPS)
    memory = solver(sde, score(z)).start(x_T)

    def loop(z, keys, x, times):
        return integrate(solver(sde, score(z)), keys, x, times)

    def step(z, keys, x, memory, i, t, t_next):
        full = jnp.ones(BATCH)
        return solver(sde, score(z)).move(fold(keys, i), x, memory, t * full, t_next * full)

    of_step = (z, keys, x_T, memory, jnp.int32(0), times[0], times[1])
    found: dict[str, list[float]] = {name: [] for name in ("loop", "steps", "compile_loop", "compile_step")}
    for _ in range(COMPILES):
        for name, function, arguments in (("loop", loop, (z, keys, x_T, times)), ("step", step, of_step)):
            found[f"compile_{name}"].append(seconds(lambda f=function, a=arguments: compiled(f, *a)))

    all_at_once, one = compiled(loop, z, keys, x_T, times), compiled(step, *of_step)
    places = [(jnp.int32(i), *pair) for i, pair in enumerate(itertools.pairwise(times))]

    def one_by_one() -> jax.Array:
        x, held = x_T, memory
        for place in places:
            x, held = one(z, keys, x, held, *place)
        return x

    runs = {"loop": lambda: all_at_once(z, keys, x_T, times), "steps": one_by_one}
    for _ in range(1 + ROUNDS):
        for name, run in runs.items():
            found[name].append(seconds(run))
    return found | {name: found[name][1:] for name in runs}  # the first round warms up


def compiled(function: Callable, *arguments: jax.Array) -> Callable:
    """Traced and compiled from nothing."""
    jax.clear_caches()
    return jax.jit(function).lower(*arguments).compile()


def seconds(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - begin


def main() -> None:
    parser = parser_of("benchmarks.speed.solver_loops", __doc__)
    parser.add_argument("--data", action="append")
    names = parser.parse_args().data or ["digits", "fashion_mnist"]
    jax.config.update("jax_enable_compilation_cache", False)
    figures, rows = {}, []
    with tqdm(total=len(names) * len(SOLVERS), unit="solver") as bar:
        for data in names:
            networks = guided(data)
            for name, solver in SOLVERS.items():
                found = measure(*networks, solver(STEPS))
                median = {key: statistics.median(values) for key, values in found.items()}
                ratios = {
                    "time": median["loop"] / median["steps"],
                    "compile": median["compile_loop"] / median["compile_step"],
                }
                figures[f"{data}/{name}"] = ratios | {"seconds": found}
                rows.append([data, name, f"{ratios['time']:.3f}", f"{ratios['compile']:.2f}"])
                bar.update()
    worst = {name: max(found[name] for found in figures.values()) for name in LIMITS}
    notes = (
        f"{STEPS} steps, batch {BATCH}, medians of {ROUNDS} interleaved rounds; compilation, tracing and lowering included, medians "
        f"of {COMPILES}, without a cache. The worst: {worst['time']:.3f} times (aim: {LIMITS['time']} at most) and, to compile, "
        f"{worst['compile']:.2f} times (aim: under {LIMITS['compile']:g})."
    )
    head = ["data", "solver", "run time, loop / steps ↓", "compilation, loop / step ↓"]
    record(
        "solver_loops",
        "The loops of the solvers",
        {"ratios": figures, "worst": worst, "limits": LIMITS},
        head,
        rows,
        notes,
    )


if __name__ == "__main__":
    main()
