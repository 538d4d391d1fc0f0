"""ScoreVAE's encoder on a prior that diffusers trained, beside one on the prior that is trained here.

    python -m benchmarks.own_prior [--seeds 1] [--steps 2000] [--workdir runs/own_prior] [--config.section.field=value ...]

Both priors see the training split of the digits in as many steps and batches, with U-Nets of the same widths. diffusers trains by its own
recipe (benchmarks/own_prior/ddpm.py); the other is configs/scorevae_digits.py as it is. Then each gets the same encoder. Writes
benchmarks/results/own_prior.{json,md}. Finished parts are kept in --workdir: the same command resumes. Needs the extra `test`.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from benchmarks.arguments import overrides, parser_of
from benchmarks.own_prior.ddpm import train_ddpm
from benchmarks.record import record
from sde_vae import load, load_config, runtime
from sde_vae.build.config import set_fields
from sde_vae.build.experiment import build
from sde_vae.commands.evaluate import evaluate_run
from sde_vae.commands.train import train
from sde_vae.data.dataset import take, to_model
from sde_vae.errors import exit_code
from sde_vae.reporting.tables import figure

# The order of the rows, and of the table's columns: metric -> heading.
ROWS = {"diffusers": "trained by diffusers (noise, 1000 linear steps)", "here": "trained here (velocity, VP)"}
COLUMNS = {
    "reconstruction/l2": "l2 ↓",
    "reconstruction/lpips_alex": "LPIPS ↓",
    "reconstruction/fd_pixels": "FD ↓",
    "bits_per_dim/total": "bits/dim ↓",
    "prior/bits_per_dim/total": "bits/dim, prior alone ↓",
    "samples/fd_pixels": "FD of samples ↓",
}


def config_of(steps: int, seed: int, changes: dict[str, Any]) -> ConfigDict:
    """configs/scorevae_digits.py with both stages of `steps` steps, and the metrics of the table."""
    config = load_config("scorevae_digits")
    config.seed = seed
    for stage in (config.stages.prior, config.stages.encoder):
        stage.steps = steps
    config.eval.lpips = ("alex",)
    config.eval.evaluators = ("reconstruction", "samples", "bits_per_dim")
    return set_fields(config, changes)


def trained_by_diffusers(config: ConfigDict, folder: Path) -> Path:
    """The pipeline folder of a DDPM of the training split, trained unless it is there."""
    if not (folder / "model_index.json").exists():
        data, net, stage = build(config).load(), config.model.prior, config.stages.prior
        images = data.split("train").images
        x = to_model(take(images, np.arange(len(images))), data.levels)
        widths = tuple(net.channels * multiplier for multiplier in net.multipliers)
        train_ddpm(x, folder, widths, net.blocks, stage.steps, stage.batch_size, stage.learning_rate, config.seed)
    return folder


def measure(options: argparse.Namespace, changes: list[str]) -> None:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ROWS}
    for seed in range(options.seeds):
        config, folder = config_of(options.steps, seed, overrides(changes)), options.workdir / f"seed_{seed}"
        checkpoints = {"diffusers": str(trained_by_diffusers(config, folder / "ddpm")), "here": ""}
        for name, checkpoint in checkpoints.items():
            if not train(set_fields(config, {"prior.checkpoint": checkpoint}), folder / name):
                return
            found[name].append(evaluate_run(load(folder / name)).metrics)
    rows = [[title, *(cell(found[name], metric) for metric in COLUMNS)] for name, title in ROWS.items()]
    notes = (
        f"{found['here'][0]['n']} test digits, {found['here'][0]['latent_dim']} latents, {options.steps} steps of each stage, seeds: "
        f"{options.seeds}. ± is one standard error: over the images for one seed, over the seeds for more."
    )
    figures = {name: [{metric: of.get(metric) for metric in COLUMNS} for of in runs] for name, runs in found.items()}
    record(
        "own_prior",
        "A prior trained by diffusers, and one trained here",
        figures,
        ["prior", *COLUMNS.values()],
        rows,
        notes,
    )


def cell(runs: list[dict[str, Any]], metric: str) -> str:
    """The mean over the seeds with its standard error; of one seed, that over the images."""
    values = [run[metric] for run in runs]
    if len(values) == 1:
        return figure(values[0], runs[0].get(f"{metric}_stderr"))
    return figure(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values))))


def main() -> int:
    parser = parser_of("benchmarks.own_prior", __doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--workdir", type=Path, default=Path("runs/own_prior"))
    runtime.enable_compilation_cache()
    return exit_code(lambda: measure(*parser.parse_known_args()))


if __name__ == "__main__":
    sys.exit(main())
