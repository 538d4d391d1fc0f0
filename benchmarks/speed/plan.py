"""Plan large trainings: memory, hours and cost of each stage of a ScoreVAE, on one device and on several.

    python -m benchmarks.speed.plan [--utilisation 0.3]

Counts, and trains nothing. The floating-point operations of a step are those of its program, as XLA counts them before it optimises. Memory is
the state, parameters, their EMA and Adam's two moments in float32, with the gradient and the frozen parameters, and the activations of a
device's share of a batch, which are taken from the program that XLA compiles for a CPU at two batch sizes: a GPU's differ. Hours are
operations over peak times utilisation: the prior's in bfloat16, and the encoder's in float32. Writes benchmarks/results/plan.{json,md}.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.arguments import parser_of
from benchmarks.record import record
from benchmarks.speed.summary import plans
from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.methods.method import Method, abstract_params, required
from sde_vae.training.stage import Stage, parts_of
from sde_vae.training.train_state import abstract_state, joined
from sde_vae.types import Batch

LARGE = {
    "data.image_size": 256,
    "model.dtype": "bfloat16",
    "model.prior.channels": 128,
    "model.prior.multipliers": (1, 1, 2, 2, 4, 4),
    "model.encoder.multipliers": (1, 1, 2, 2, 4, 4),
    "stages.prior.batch_size": 64,
    "stages.encoder.batch_size": 64,
}
# title -> (config, changes). The second prior is DDPM's for CelebA-HQ (arXiv:2006.11239, appendix B).
PLANS: dict[str, tuple[str, dict[str, Any]]] = {
    "CelebA 64x64": ("scorevae_celeba64", {"model.dtype": "bfloat16"}),
    "256x256": ("scorevae_celeba64", LARGE),
}


class Fleet(NamedTuple):
    """Devices to train on: how many, the peaks of each in operations a second (bfloat16, and float32 in full), its memory, and the price of
    its hour in USD, an assumption.
    """

    devices: int
    bfloat16: float
    float32: float
    gigabytes: float
    price: float


FLEETS = {
    "1 GPU (H100)": Fleet(1, 989e12, 67e12, 80, 3.0),
    "8 GPUs (H100)": Fleet(8, 989e12, 67e12, 80, 3.0),
    # float32 takes six passes of bfloat16.
    "TPU v5e-8": Fleet(8, 197e12, 197e12 / 6, 16, 1.2),
}
GIGA = 1e9


class Step(NamedTuple):
    """A step of a stage: for each example the operations, those among them of diffusion networks, and the bytes of activations; the bytes of a
    gradient; and those of all that does not depend on the batch.
    """

    operations: float
    of_diffusion: float
    activations: float
    gradient: float
    state: float


def abstract_step(stage: Stage, frozen: dict[str, Any], shape: tuple[int, ...], n: int) -> Any:
    """Return the lowered update of n examples. Nothing is allocated."""
    batch = Batch(jax.ShapeDtypeStruct((n, *shape), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.int32))
    state = abstract_state(stage.method, stage.optimiser)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.jit(joined(parts_of(stage)), donate_argnums=0).lower(state, frozen, key, batch)


def counted(stage: Stage, prior: Method, frozen: dict[str, Any], shape: tuple[int, ...]) -> Step:
    """Count a step at 2 and 4 examples: what grows is each example's. XLA would drop a batch of 1."""
    lowered = [abstract_step(stage, frozen, shape, n) for n in (2, 4)]
    operations = [of.cost_analysis()["flops"] for of in lowered]
    temporary = [of.compile().memory_analysis().temp_size_in_bytes for of in lowered]
    params = sum(a.size for a in jax.tree.leaves(abstract_params(stage.method)))
    held = 4 * (5 * params + sum(a.size for a in jax.tree.leaves(frozen)))
    total = (operations[1] - operations[0]) / 2
    # The frozen prior is evaluated once; a stage without one trains a diffusion network itself.
    forward = of_score(prior, frozen["prior"], shape) if "prior" in frozen else total
    return Step(total, forward, (temporary[1] - temporary[0]) / 2, 4 * params, held)


def of_score(prior: Method, params: Any, shape: tuple[int, ...]) -> float:
    """Return the operations of one evaluation of the prior's score for one example."""
    score = lambda params, x, t: required(prior.unconditional, "unconditional")(params, {})(x, t)
    x, t = jax.ShapeDtypeStruct((1, *shape), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.float32)
    return jax.jit(score).lower(params, x, t).cost_analysis()["flops"]


def fewest_parts(step: Step, share: int, memory: float) -> int | None:
    """Return the least accumulation, a divisor of a device's share of a batch, with which a step fits; None if none does.

    >>> fewest_parts(Step(0, 0, activations=3.0, gradient=1.0, state=5.0), share=8, memory=12.0)
    4
    """
    # Beside the gradient of a part there is their sum.
    fits = lambda n: step.state + (n > 1) * step.gradient + share // n * step.activations <= memory
    return next((n for n in range(1, share + 1) if share % n == 0 and fits(n)), None)


def plan(title: str, utilisation: float) -> list[dict[str, Any]]:
    """A row a stage and fleet."""
    config, changes = PLANS[title]
    experiment = build(set_fields(load_config(config), changes))
    trained: dict[str, Any] = {}
    rows = []
    for stage in experiment.stages:
        step = counted(stage, experiment.prior, {name: trained[name] for name in stage.depends_on}, experiment.shape)
        trained[stage.name] = abstract_params(stage.method)
        for name, fleet in FLEETS.items():
            share = stage.batch_size / fleet.devices
            seconds = step.of_diffusion / fleet.bfloat16 + (step.operations - step.of_diffusion) / fleet.float32
            hours = share * seconds / utilisation * stage.steps / 3600
            parts = fewest_parts(step, stage.batch_size // fleet.devices, fleet.gigabytes * GIGA)
            rows.append(
                {
                    "training": title,
                    "stage": stage.name,
                    "devices": name,
                    "batch": stage.batch_size,
                    "steps": stage.steps,
                    "teraflop_a_step": stage.batch_size * step.operations / 1e12,
                    "state_gb": step.state / GIGA,
                    "activations_gb": share * step.activations / GIGA,
                    "accumulation": parts,
                    "hours": hours,
                    "usd": hours * fleet.devices * fleet.price,
                }
            )
    return rows


def main() -> None:
    parser = parser_of("benchmarks.speed.plan", __doc__)
    parser.add_argument("--utilisation", type=float, default=0.3)
    options = parser.parse_args()
    rows = [row for title in PLANS for row in plan(title, options.utilisation)]
    (head, *lines), caption = plans(rows)
    prices = ", ".join(f"{name} {fleet.price:g}" for name, fleet in FLEETS.items())
    notes = (
        f"{caption} At {options.utilisation:.0%} of the peak: of bfloat16 for the diffusion networks (config.model.dtype=bfloat16), of float32 for the encoder. "
        f"Accumulation is the least config.stages.STAGE.accumulation with which the activations fit beside the state. Assumed prices of a device's "
        f"hour, USD: {prices}."
    )
    record("plan", "A plan of large trainings", {"rows": rows, "utilisation": options.utilisation}, head, lines, notes)


if __name__ == "__main__":
    main()
