"""Quality of a prior against seconds of training, with and without patches (config.model.prior.patch_size).

    python -m benchmarks.speed.patches [--data fashion_mnist] [--steps 1500] [--workdir runs/patches]

Three priors: the U-Net on pixels, one on patches of 2x2 with as many steps, and that one for as many seconds as the first. A U-Net on
patches starts at the second resolution of that on pixels, with its channels there. Writes benchmarks/results/patches.{json,md}. Training
resumes with the same command. Nothing else should run meanwhile.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from benchmarks.arguments import parser_of
from benchmarks.comparison.training import evaluate, train, training_seconds
from benchmarks.record import record
from benchmarks.speed.summary import patches
from sde_vae import load_config, runtime
from sde_vae.build.config import set_fields
from sde_vae.build.experiment import build
from sde_vae.errors import BadInput, exit_code
from sde_vae.methods.method import abstract_params

# What is drawn and bounded, and by how many steps.
EVALUATION = {"eval.evaluators": ("samples", "bits_per_dim"), "eval.n": 500, "eval.samples": 500, "sampling.steps": 25}


def from_second_resolution(model: ConfigDict, name: str) -> dict[str, Any]:
    """Return the fields with which config.model.NAME sees patches of 2x2: it then starts at its second resolution, as wide as it is there.

    Raises BadInput if there is none, or if its channels do not divide those of the next.
    """
    net = model[name]
    field = f"config.model.{name}.multipliers"
    if len(net.multipliers) < 2 or any(m % net.multipliers[1] for m in net.multipliers[1:]):
        raise BadInput(
            f"{field}: got {net.multipliers}, expected two or more, of which the second divides all that follow"
        )
    second = net.multipliers[1]
    return {
        f"model.{name}.patch_size": 2,
        f"model.{name}.channels": net.channels * second,
        f"model.{name}.multipliers": tuple(m // second for m in net.multipliers[1:]),
    }


def measured(data: str, changes: dict[str, Any], steps: int, folder: Path) -> dict[str, Any] | None:
    """Train and evaluate one prior: its row, or None where training was stopped."""
    own = {"method": "prior", "stages.prior.steps": steps}
    config = set_fields(load_config(f"scorevae_{data}"), own | EVALUATION | changes)
    if not train(config, folder):
        return None
    metrics, _ = evaluate(config, folder)
    seconds = training_seconds(folder / "prior")
    if math.isnan(seconds):
        raise BadInput(
            f"--steps: got {steps}, of which none were timed; expected more than {config.stages.prior.log_every}"
        )
    fd = next(name for name in metrics if name.startswith("samples/fd"))
    return {
        "parameters": sum(a.size for a in jax.tree.leaves(abstract_params(build(config).prior))),
        "steps": steps,
        "seconds": seconds,
        "fd": metrics[fd],
        "fd_of_held_out": metrics[f"{fd}_reference"],
        "fd_name": fd.removeprefix("samples/"),
        "n": metrics["n"],
        **{name: metrics[name] for name in ("bits_per_dim/total", "bits_per_dim/total_stderr")},
    }


def measure(options: argparse.Namespace) -> None:
    data, steps, root = options.data, options.steps, options.workdir / options.data
    on_patches = from_second_resolution(load_config(f"scorevae_{data}").model, "prior")
    if (pixels := measured(data, {}, steps, root / "pixels")) is None:
        return
    if (as_many := measured(data, on_patches, steps, root / "patches")) is None:
        return
    more = round(steps * pixels["seconds"] / as_many["seconds"])
    if (as_long := measured(data, on_patches, more, root / f"patches_{more}")) is None:
        return
    found = {"pixels": pixels, "patches, as many steps": as_many, "patches, as many seconds": as_long}
    rows = [{"prior": name} | row for name, row in found.items()]
    (head, *lines), notes = patches(rows)
    record("patches", f"Priors on pixels and on patches of 2x2 pixels, {data}", {"rows": rows}, head, lines, notes)


def main() -> int:
    parser = parser_of("benchmarks.speed.patches", __doc__)
    parser.add_argument("--data", choices=("fashion_mnist", "avatars32"), default="fashion_mnist")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--workdir", type=Path, default=Path("runs/patches"))
    runtime.enable_compilation_cache()
    return exit_code(lambda: measure(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
