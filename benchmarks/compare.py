"""Every method of arXiv:2304.12141, and lifted encoders, trained and evaluated alike: PCA, beta-VAE, that and a prior, DiffDecoder,
ScoreVAE, ScoreVAE+.

    python benchmarks/compare.py --data digits|fashion_mnist|avatars32|... [--seeds 3] [--latents 4 16] [--budget small|paper]
        [--rows NAME ...] [--table compare|levers|bounds|curves] [--name NAME] [--workdir DIR] [--config.section.field=value ...]

Writes results/NAME.{json,md,png} of all that is finished, by this command or before, whenever a row is; the same command goes
on where it was stopped, and seeds, latents and rows can be added. NAME defaults to compare_DATA, and --workdir to runs/NAME. What is finished
is kept in results/rows/NAME, so that one's own row can be put beside those that others have trained. The row `swapped` decodes
with the prior of the next seed, which is trained for it.

On the split `valid`: --table levers changes one thing of ScoreVAE a row, to see what each is worth, and NAME is levers_DATA;
--table bounds asks what z is worth in bits/dim over a sweep of beta; --table curves trains for longer and for less.
"""

from sde_vae import platform

platform.prepare()

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(1, str(ROOT))  # main.py is in no package

import compare_page
import compare_plots
import compare_sweeps
import jax
from compare_config import BUDGETS, base_config, with_changes
from compare_kept import PICTURES, keep, kept
from compare_levers import levers
from compare_rows import Row, bounds, curves, rows
from ml_collections import ConfigDict
from record import RESULTS

import main as commands
from sde_vae import logs, workdir
from sde_vae.build import build
from sde_vae.errors import BadInput, choose, exit_code


class Table(NamedTuple):
    """What is compared: rows(config), on which split (settings are chosen on the one, methods compared on the other), by which evaluators;
    and draw(found, names, path).
    """

    rows: Callable[[ConfigDict], list[Row]]
    split: str
    evaluators: tuple[str, ...]
    draw: compare_page.Draw = compare_plots.draw


ALL = ("reconstruction", "averages", "noise_levels", "bits_per_dim", "latents", "edits", "latent_prior")
TABLES = {
    "compare": Table(rows, "test", ALL),
    "levers": Table(levers, "valid", ALL),
    "bounds": Table(bounds, "valid", ("reconstruction", "bits_per_dim", "latents"), compare_sweeps.bounds),
    "curves": Table(curves, "valid", ("reconstruction", "averages", "noise_levels"), compare_sweeps.curves),
}


class Comparison:
    """One table of one data set and budget, trained under `directory`."""

    def __init__(self, options: argparse.Namespace, changes: dict[str, Any]) -> None:
        self.options, self.changes = options, changes
        choose("--budget", options.budget, BUDGETS)
        self.table = choose("--table", options.table, TABLES)
        plain = self.config(None, 0)
        if plain.eval.extractor == "none":
            raise BadInput("--config.eval.extractor: got none, expected one: the table has a Frechet distance")
        self.rows = {row.name: row for row in self.table.rows(plain)}
        self.wanted = [choose("--rows", name, self.rows) for name in options.rows or self.rows]
        self.latents = options.latents or [plain.model.latent_dim]
        of_budget = "" if options.budget == "small" else f"_{options.budget}"
        self.name = options.name or f"{options.table}_{options.data}{of_budget}"
        self.directory = (options.workdir or ROOT / "runs" / self.name).absolute()
        self.kept = RESULTS / "rows" / self.name

    def config(self, latent: int | None, seed: int) -> ConfigDict:
        config = base_config(self.options.data, self.options.budget, self.changes, latent, seed)
        config.eval.split, config.eval.evaluators = self.table.split, self.table.evaluators
        return config

    def prior_of(self, seed: int, row: Row | None = None) -> Path:
        """That which all rows of a seed share, or a row's own."""
        shared, own = self.directory / f"seed_{seed}", _of_prior(row)
        return shared / "_".join(["prior", *map(str, own.values())]) if own else shared

    def folder(self, row: Row, latent: int, seed: int) -> Path:
        return self.directory / f"seed_{seed}" / f"latent_{latent}" / row.folder

    def place(self, row: Row, latent: int, seed: int) -> Path:
        return self.kept / f"seed_{seed}" / f"latent_{latent}" / row.name

    def config_of(self, row: Row, latent: int, seed: int) -> ConfigDict:
        config = with_changes(self.config(latent, seed), row.changes)
        config.prior.checkpoint = str(self.prior_of(seed, row))
        if row.swapped:
            config.eval.prior = str(self.prior_of(seed + 1, row))
        return config

    def train_prior(self, seed: int, row: Row | None = None) -> bool:
        """`prior_of` the same. False if it was stopped."""
        config = with_changes(self.config(None, seed), _of_prior(row))
        experiment = build(config)
        alone = tuple(stage for stage in experiment.stages if stage.name == "prior")
        return commands.train(config, experiment._replace(stages=alone), self.prior_of(seed, row))

    def run(self, row: Row, latent: int, seed: int) -> bool:
        """Train what is not trained, the priors too, evaluate, and keep what came of it. False if it was stopped."""
        print(f"\n{row.title}, {latent} latents, seed {seed}")
        config, folder = self.config_of(row, latent, seed), self.folder(row, latent, seed)
        priors = [(seed, row), *([(seed + 1, row)] if row.swapped else [])] if row.has_prior else []
        if not all(self.train_prior(*of) for of in priors):
            return False
        if not commands.train(config, build(config), folder):
            return False
        commands.eval_(config, build(config), folder)
        done = folder / f"eval_{row.name}"
        # Of a row that is evaluated anew.
        shutil.rmtree(done, ignore_errors=True)
        (folder / "eval").rename(done)
        metrics = json.loads((done / "metrics.json").read_text())
        metrics |= {f"seconds/{stage}": training_seconds(folder / stage) for stage in row.stages}
        metrics |= {"seconds/prior": training_seconds(self.prior_of(seed, row) / "prior")} if row.has_prior else {}
        keep(self.place(row, latent, seed), fields(row, config), metrics, done / PICTURES)
        # Compiled programs are of no more use to the next row.
        jax.clear_caches()
        return True

    def finished(self, row: Row, latent: int, seed: int) -> dict[str, Any] | None:
        """The metrics, and the seconds of the training of each stage, of a row that was made with this very config."""
        return kept(self.place(row, latent, seed), fields(row, self.config_of(row, latent, seed)))

    def all_finished(self) -> list[dict[str, Any]]:
        """Every row that is kept, by seed, latent size and place in the table."""
        places = sorted(
            (int(path.parent.name.removeprefix("seed_")), int(path.name.removeprefix("latent_")))
            for path in self.kept.glob("seed_*/latent_*")
        )
        return [
            {"row": row, "latent": latent, "seed": seed, "metrics": metrics, "pictures": self.place(row, latent, seed)}
            for seed, latent in places
            for row in self.rows.values()
            if (metrics := self.finished(row, latent, seed))
        ]

    def command(self, found: list[dict[str, Any]]) -> str:
        """What makes all of it, and what is missing of its rows, sizes and seeds."""
        options, of = self.options, lambda name: sorted({run[name] for run in found})
        words = ["python benchmarks/compare.py", "--data", options.data, "--table", options.table]
        words += [] if options.budget == "small" else ["--budget", options.budget]
        words += ["--name", options.name] if options.name else []
        words += ["--seeds", of("seed")[-1] + 1, "--latents", *of("latent")]
        names = {run["row"].name for run in found}
        words += [] if names == self.rows.keys() else ["--rows", *(name for name in self.rows if name in names)]
        words += [f"--config.{name}={value}" for name, value in self.changes.items()]
        return " ".join(map(str, words))


def _of_prior(row: Row | None) -> dict[str, Any]:
    """What a row changes of the prior."""
    return {name: value for name, value in row.changes.items() if name.startswith("prior.")} if row else {}


def fields(row: Row, config: ConfigDict) -> dict[str, Any]:
    """The fields that make a row what it is. Where it was trained, and what was measured of it, are none; what has no prior is the same
    beside any, and at which level one finishes a beta-VAE is nothing to the others.
    """
    told = workdir.told(config.to_dict(), commands.DEFAULTS)
    unread = ("prior.checkpoint", "eval.prior", "eval.evaluators")
    unread += () if row.has_prior else ("prior.",)
    unread += () if told["method"] == "diffuse_vae" else ("sampling.prior_above",)
    return {name: value for name, value in told.items() if not name.startswith(unread)}


def training_seconds(stage: Path) -> float:
    """Of all steps, at the median rate: compilation and interruptions left out. Not a number, if nothing was timed."""
    logged = logs.read(stage / "metrics.jsonl")
    rates = sorted(row["steps_per_second"] for row in logged if "steps_per_second" in row)
    return logged[-1]["step"] / rates[len(rates) // 2] if rates else float("nan")


def compare(options: argparse.Namespace, changes: dict[str, Any]) -> None:
    platform.enable_compilation_cache()
    comparison = Comparison(options, changes)
    wanted = [
        (row, latent, seed)
        for seed in range(options.seeds)
        for latent in comparison.latents
        for row in comparison.wanted
    ]
    missing = [case for case in wanted if not comparison.finished(*case)]
    # At least once: a page of what was finished before.
    for case in missing or [None]:
        if case and not comparison.run(*case):
            return
        found = comparison.all_finished()
        page = compare_page.Page(
            comparison.name, options.table, options.data, options.budget, comparison.command(found)
        )
        compare_page.write(page, found, comparison.table.draw)


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--latents", type=int, nargs="+")
    parser.add_argument("--budget", default="small")
    parser.add_argument("--rows", nargs="+")
    parser.add_argument("--table", default="compare")
    parser.add_argument("--name")
    parser.add_argument("--workdir", type=Path)
    options, rest = parser.parse_known_args()
    return exit_code(lambda: compare(options, overrides(rest)))


if __name__ == "__main__":
    sys.exit(main())
