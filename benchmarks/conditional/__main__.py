"""Estimators of grad_x log p(x_t | y) by task: CDE, CDiffE, CMDE, VS-CMDE, and Bayes' rule, trained and training-free.

    python -m benchmarks.conditional [--data digits] [--seeds 3] [--tasks inpainting ...] [--methods cde ...] [--workdir runs/conditional]
                                     [--config.section.field=value ...] [--name conditional_DATA]

All see the same training split in as many steps, with U-Nets of one width, and sample with one solver. Those of Bayes' rule share a prior
for each seed, which is trained first. Writes benchmarks/results/NAME.{json,md,png}. Finished parts are kept in --workdir, so
the same command resumes, and more seeds, tasks or methods go on from there.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from benchmarks.arguments import overrides, parser_of
from benchmarks.comparison.settings import NETWORK
from benchmarks.conditional.page import write
from sde_vae import load, load_config, runtime
from sde_vae.build.config import set_fields
from sde_vae.build.fields import BY_BAYES, ESTIMATORS
from sde_vae.commands.evaluate import evaluate_run
from sde_vae.commands.train import train
from sde_vae.errors import exit_code

METHODS = (*ESTIMATORS, *BY_BAYES)
# What is restored, and the fields that differ from configs/cmde_digits.py.
TASKS = {
    "digits": ("inpainting", "super_resolution", "edges"),
    "fashion_mnist": ("inpainting", "super_resolution"),
    "avatars32": ("inpainting",),
}
# The task in the config of the prior that all tasks share, which reads none.
SHARED = "inpainting"
# Methods that take linear tasks only.
LINEAR_ONLY = ("dps", "pigdm")


def config_of(data: str, method: str, task: str, seed: int, changes: dict[str, Any]) -> ConfigDict:
    """The config of one run: the networks and steps of scorevae_DATA with the objective of its prior."""
    config = load_config(f"scorevae_{data}")
    config.method, config.task.name, config.seed = method, task, seed
    net, stage, of_prior = config.model, config.stages.encoder, config.stages.prior
    for name in ("decoder", "encoder"):
        for field in (*NETWORK, "dropout"):
            setattr(net[name], field, net.prior[field])
    for field in ("steps", "batch_size", "learning_rate", "warmup", "weight", "times"):
        setattr(stage, field, of_prior[field])
    if method == "bayes":
        # ScoreVAE's own objective: the gradient of an encoder is not on the scale of a noise.
        ours = load_config(f"scorevae_{data}").stages.encoder
        stage.weight, stage.times, stage.learning_rate = ours.weight, ours.times, ours.learning_rate
    config.eval.evaluators = ("restoration",)
    return set_fields(config, changes)


def measure(options: argparse.Namespace, changes: list[str]) -> None:
    tasks, given = options.tasks or TASKS[options.data], overrides(changes)
    found: dict[str, dict[str, list[dict[str, Any]]]] = {task: {} for task in tasks}
    runs: dict[str, dict[str, Path]] = {task: {} for task in tasks}
    for seed in range(options.seeds):
        root = options.workdir / options.data / f"seed_{seed}"
        for task in tasks:
            for method in options.methods:
                if method in LINEAR_ONLY and task == "edges":
                    continue
                config = config_of(options.data, method, task, seed, given)
                if method in BY_BAYES:
                    of_prior = config_of(options.data, "prior", SHARED, seed, given | {"eval.evaluators": ("samples",)})
                    if not train(of_prior, root / "prior"):
                        return
                    config = set_fields(config, {"prior.checkpoint": str(root / "prior")})
                folder = root / f"{task}_{method}"
                if not train(config, folder):
                    return
                found[task].setdefault(method, []).append(evaluate_run(load(folder)).metrics)
                runs[task].setdefault(method, folder)
        write(
            options.name or f"conditional_{options.data}",
            options.data,
            found,
            runs,
            config_of(options.data, "cde", SHARED, 0, given),
        )


def main() -> int:
    parser = parser_of("benchmarks.conditional", __doc__)
    parser.add_argument("--data", choices=TASKS, default="digits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=())
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--workdir", type=Path, default=Path("runs/conditional"))
    parser.add_argument(
        "--name", help="of the results, by default conditional_DATA; with fields of your own give one, and a --workdir"
    )
    runtime.enable_compilation_cache()
    return exit_code(lambda: measure(*parser.parse_known_args()))


if __name__ == "__main__":
    sys.exit(main())
