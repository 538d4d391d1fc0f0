"""Every method of arXiv:2304.12141, trained and evaluated alike: the mean image, PCA, beta-VAE, DiffDecoder, ScoreVAE, ScoreVAE+.

    python benchmarks/compare.py --data digits|fashion_mnist|avatars32|... [--seeds 3] [--latents 4 16] [--budget small|paper]
        [--rows NAME ...] [--workdir DIR] [--config.section.field=value ...]

Writes results/compare_DATA.{json,md,png} after every row of every seed, of all that is finished; the same command goes on where
it was stopped. --workdir defaults to runs/compare_DATA; config.eval.split to valid for nothing is chosen here: it is `test`.
"""

from sde_vae import platform

platform.prepare()

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(1, str(ROOT))  # main.py is in no package

import compare_page
import jax
from compare_rows import BUDGETS, Row, base_config, rows, with_changes
from ml_collections import ConfigDict

import main as commands
from sde_vae import logs
from sde_vae.build import build
from sde_vae.errors import BadInput, choose


def run_row(config: ConfigDict, row: Row, directory: Path) -> dict[str, Any]:
    """Train and evaluate what is not yet; the metrics of the evaluation, with the seconds of each stage's training."""
    folder, done = directory / row.folder, directory / row.folder / f"eval_{row.name}"
    if not (done / "metrics.json").exists():
        config = with_changes(config, row.changes)
        commands.train(config, build(config), folder)
        commands.eval_(config, build(config), folder)
        (folder / "eval").rename(done)
        # Compiled programs are of no more use to the next row.
        jax.clear_caches()
    metrics = json.loads((done / "metrics.json").read_text())
    seconds = {stage: training_seconds(folder / stage) for stage in row.stages}
    return metrics | {f"seconds/{stage}": value for stage, value in seconds.items()}


def train_prior(config: ConfigDict, directory: Path) -> float:
    """The prior that all rows of a seed share; the seconds of its training."""
    experiment = build(config)
    experiment = experiment._replace(stages=tuple(s for s in experiment.stages if s.name == "prior"))
    commands.train(config, experiment, directory)
    return training_seconds(directory / "prior")


def training_seconds(stage: Path) -> float:
    """Of all steps, at the median rate: compilation and interruptions left out."""
    logged = logs.read(stage / "metrics.jsonl")
    rates = sorted(row["steps_per_second"] for row in logged if "steps_per_second" in row)
    return logged[-1]["step"] / rates[len(rates) // 2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--latents", type=int, nargs="+")
    parser.add_argument("--budget", default="small")
    parser.add_argument("--rows", nargs="+")
    parser.add_argument("--workdir", type=Path)
    options, rest = parser.parse_known_args()
    try:
        compare(options, overrides(rest))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def overrides(arguments: list[str]) -> dict[str, Any]:
    """--config.section.field=value -> {"section.field": value}; numbers as JSON reads them, the rest as text."""
    found = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not name.startswith("--config.") or not equals:
            raise BadInput(f"{argument}: expected --config.section.field=value")
        try:
            found[name.removeprefix("--config.")] = json.loads(value)
        except json.JSONDecodeError:
            found[name.removeprefix("--config.")] = value
    return found


def compare(options: argparse.Namespace, changes: dict[str, Any]) -> None:
    platform.enable_compilation_cache()
    choose("--budget", options.budget, BUDGETS)
    workdir = (options.workdir or ROOT / "runs" / f"compare_{options.data}").absolute()
    found: list[dict[str, Any]] = []
    plain = base_config(options.data, options.budget, 1, 0, changes)
    latents = options.latents or [plain.model.latent_dim]
    wanted = rows(plain.loss.beta)
    names = options.rows or [row.name for row in wanted]
    for name in names:
        choose("--rows", name, {row.name: row for row in wanted})
    for seed in range(options.seeds):
        shared = workdir / f"seed_{seed}"
        prior_seconds = train_prior(base_config(options.data, options.budget, 1, seed, changes), shared)
        for latent in latents:
            config = base_config(options.data, options.budget, latent, seed, changes)
            config.prior.checkpoint = str(shared)
            for row in (row for row in wanted if row.name in names):
                print(f"\n{row.title}, {latent} latents, seed {seed}")
                directory = shared / f"latent_{latent}"
                metrics = run_row(config, row, directory) | {"seconds/prior": prior_seconds}
                of = {"row": row.name, "title": row.title, "latent": latent, "seed": seed}
                found.append(of | {"folder": str(directory / row.folder / f"eval_{row.name}"), "metrics": metrics})
                compare_page.write(options.data, options.budget, found)


if __name__ == "__main__":
    sys.exit(main())
