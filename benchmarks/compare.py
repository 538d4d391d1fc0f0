"""Every method of arXiv:2304.12141, and lifted encoders, trained and evaluated alike: PCA, beta-VAE, that and a prior, DiffDecoder,
ScoreVAE, ScoreVAE+.

    python benchmarks/compare.py --data digits|fashion_mnist|avatars32|... [--seeds 3] [--latents 4 16] [--budget small|paper]
        [--rows NAME ...] [--table compare|levers|bounds|curves] [--name NAME] [--workdir DIR] [--config.section.field=value ...]

Writes results/NAME.{json,md,png} of all that is finished, by this command or before, whenever a row is; the same command goes
on where it was stopped, and seeds, latents and rows can be added. NAME defaults to TABLE_DATA, and --workdir, where networks are trained, to
runs/NAME: of several commands at a time each takes one of its own. What is finished is kept in results/rows/NAME, so that a row can be put beside
those that others have trained; without its folder there it is evaluated again, and trained if its networks are gone. The row `swapped`
decodes with the prior of the next seed, which is trained for it. What all methods share is configs/scorevae_DATA.py with the settings of
compare_config.py, and what --config says; --budget paper takes ten times the steps. It wants the extra `metrics`.

On the split `valid`: --table levers changes one thing of ScoreVAE a row, to see what each is worth;
--table bounds asks what z is worth in bits/dim over a sweep of beta; --table curves trains for longer and for less, on the data alone
and on a prior's draws as well.
"""

from sde_vae import platform

platform.prepare()

import argparse
import json
import math
import os
import shlex
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(1, str(ROOT))  # main.py is in no package

import compare_page
import compare_plots
import compare_sweeps
import jax
from compare_config import BUDGETS, CHOSEN, OF_BOUNDS, OF_DATA, base_config, with_changes
from compare_kept import Kept, keep, read_kept
from compare_levers import levers
from compare_rows import Row, bounds, curves, rows
from ml_collections import ConfigDict
from record import RESULTS

import main as commands
from sde_vae import logs, workdir
from sde_vae.build import build
from sde_vae.build_eval import build_judges
from sde_vae.checkpoints import describe
from sde_vae.errors import BadInput, choose, exit_code
from sde_vae.types import Params


class Table(NamedTuple):
    """What is compared: rows(config), on which split (settings are chosen on the one, methods compared on the other), by which evaluators,
    with which settings beside the data's; and draw(found, names, path).
    """

    rows: Callable[[ConfigDict], list[Row]]
    split: str
    evaluators: tuple[str, ...]
    settings: dict[str, Any]
    draw: compare_page.Draw = compare_plots.draw


ALL = ("reconstruction", "averages", "noise_levels", "bits_per_dim", "latents", "edits", "latent_prior")
TABLES = {
    "compare": Table(rows, "test", ALL, CHOSEN),
    "levers": Table(levers, "valid", ALL, {}),
    "bounds": Table(bounds, "valid", ("reconstruction", "bits_per_dim", "latents"), OF_BOUNDS, compare_sweeps.bounds),
    "curves": Table(curves, "valid", ("reconstruction", "averages", "noise_levels"), CHOSEN, compare_sweeps.curves),
}


# Another machine may have others, and the same row.
OF_MACHINE = (
    "parallel",
    "keep_checkpoints",
    "data.dir",
    "data.cache",
    "data.workers",
    "prior.checkpoint",
    "eval.prior",
    "eval.batch_size",
    "eval.lpips_dir",
    "eval.fid_weights",
    *(
        f"stages.{s}.{field}"
        for s in ("prior", "encoder", "correction", "latent")
        for field in ("checkpoint_every", "log_every")
    ),
)


class Comparison:
    """One table of one data set and budget, trained under `directory`."""

    def __init__(self, options: argparse.Namespace, changes: dict[str, Any]) -> None:
        choose("--budget", options.budget, BUDGETS)
        self.table = choose("--table", options.table, TABLES)
        settings = self.table.settings | OF_DATA.get(options.data, {})
        self.options, self.changes = options, settings | changes
        # What the command says beside.
        self.told = {name: value for name, value in changes.items() if settings.get(name) != value}
        plain = self.config(None, 0)
        if plain.eval.extractor == "none":
            raise BadInput("--config.eval.extractor: got none, expected one: the table has a Frechet distance")
        self.rows = {row.name: row for row in self.table.rows(plain)}
        self.wanted = [choose("--rows", name, self.rows) for name in options.rows or self.rows]
        self.latents = options.latents or [plain.model.latent_dim]
        if options.seeds < 1:
            raise BadInput(f"--seeds: got {options.seeds}, expected at least 1")
        of_budget = "" if options.budget == "small" else f"_{options.budget}"
        self.name = options.name or f"{options.table}_{options.data}{of_budget}"
        # A budget has checkpoints of its own: those of a longer one would be taken for finished.
        self.directory = (options.workdir or ROOT / "runs" / self.name).absolute() / options.budget
        self.rows_directory = RESULTS / "rows" / self.name

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

    def row_directory(self, row: Row, latent: int, seed: int) -> Path:
        return self.rows_directory / f"seed_{seed}" / f"latent_{latent}" / row.name

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
        config, folder = self.config_of(row, latent, seed), self.folder(row, latent, seed)
        priors = [(seed, row), *([(seed + 1, row)] if row.swapped else [])] if row.has_prior else []
        if not all(self.train_prior(*of) for of in priors):
            return False
        if config.draws.n:
            link(folder / "draws", self.prior_of(seed, row) / "draws")
        if not commands.train(config, build(config), folder):
            return False
        experiment = build(config)
        commands.eval_(config, experiment, folder)
        metrics = json.loads((folder / "eval" / "metrics.json").read_text())
        if metrics["step"] != (steps := config.stages[row.stages[-1]].steps):
            raise BadInput(
                f"{folder}: was trained for {metrics['step']} steps, expected {steps}; take another --workdir"
            )
        stages = {stage: folder / stage for stage in row.stages}
        stages |= {"prior": self.prior_of(seed, row) / "prior"} if row.has_prior else {}
        seconds = {f"seconds/{stage}": training_seconds(path) for stage, path in stages.items()}
        # What was too short to be timed has none.
        metrics |= {name: value for name, value in seconds.items() if math.isfinite(value)}
        prior = digest(commands.load_prior(config, experiment, folder).params) if row.has_prior else ""
        pictures = folder / "eval" / "reconstructions.npz"
        keep(self.row_directory(row, latent, seed), fields(row, config), prior, metrics, pictures)
        # The next row of this folder has an evaluation of its own.
        done = folder / f"eval_{row.name}"
        if done.exists():
            shutil.rmtree(done)
        (folder / "eval").rename(done)
        # Compiled programs are of no more use to the next row.
        jax.clear_caches()
        return True

    def finished(self, row: Row, latent: int, seed: int) -> Kept | None:
        """The metrics, with the seconds of the training of each stage, of a row that was made with this very config."""
        return read_kept(self.row_directory(row, latent, seed), fields(row, self.config_of(row, latent, seed)))

    def all_finished(self) -> list[dict[str, Any]]:
        """Every row that is kept, by its place in the table, seed and latent size."""
        places = sorted(
            (int(path.parent.name.removeprefix("seed_")), int(path.name.removeprefix("latent_")))
            for path in self.rows_directory.glob("seed_*/latent_*")
        )
        return [
            {"row": row, "latent": latent, "seed": seed, "directory": self.row_directory(row, latent, seed)}
            | found._asdict()
            for row in self.rows.values()
            for seed, latent in places
            if (found := self.finished(row, latent, seed))
        ]

    def command(self, found: list[dict[str, Any]]) -> str:
        """What makes all of it, and what is missing of its rows, sizes and seeds."""
        options, names = self.options, {run["row"].name for run in found}
        told = {
            "--data": [options.data],
            "--table": [options.table],
            "--budget": [] if options.budget == "small" else [options.budget],
            "--name": [options.name] if options.name else [],
            "--seeds": [max(run["seed"] for run in found) + 1],
            "--latents": sorted({run["latent"] for run in found}),
            "--rows": [] if names == self.rows.keys() else [name for name in self.rows if name in names],
        }
        words = [str(word) for flag, values in told.items() if values for word in (flag, *values)]
        changed = {name: value for name, value in self.told.items() if not name.startswith(OF_MACHINE)}
        return shlex.join(
            ["python", "benchmarks/compare.py", *words, *(f"--config.{n}={_text(v)}" for n, v in changed.items())]
        )


def _of_prior(row: Row | None) -> dict[str, Any]:
    """What a row changes of the prior."""
    return {name: value for name, value in row.changes.items() if name.startswith("prior.")} if row else {}


def fields(row: Row, config: ConfigDict) -> dict[str, Any]:
    """The fields that make a row what it is. What was measured of it is none, nor are the machine's; what has no prior is the same beside
    any, and at which level one finishes a beta-VAE is nothing to the others.
    """
    told = workdir.told(config.to_dict(), commands.DEFAULTS)
    unread = (*OF_MACHINE, "eval.evaluators")
    unread += () if row.has_prior else ("prior.",)
    unread += () if told["method"] == "diffuse_vae" else ("sampling.prior_above",)
    return {name: value for name, value in told.items() if not name.startswith(unread)}


def link(folder: Path, shared: Path) -> None:
    """What a prior has drawn is the same for all rows of a seed."""
    shared.mkdir(parents=True, exist_ok=True)
    if not folder.is_symlink():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # So that both can be moved together.
        folder.symlink_to(os.path.relpath(shared, folder.parent), target_is_directory=True)


def digest(params: Params) -> str:
    """Which parameters these are."""
    return f"{zlib.crc32(json.dumps(describe(params), sort_keys=True).encode()):08x}"


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
    # Before anything is trained: a row that is kept of another config, or a page of rows that are not, would be lost.
    compare_page.check(comparison.name, comparison.all_finished())
    missing = [case for case in wanted if not comparison.finished(*case)]
    # What they want, and what is wrong with one of them, is found before the first is trained; a seed is never wrong.
    for case in {(row.name, latent): (row, latent, seed) for row, latent, seed in missing}.values():
        build(comparison.config_of(*case))
    if missing:
        build_judges(comparison.config_of(*missing[0]))
    # At least once: a page of what was finished before.
    for k, case in enumerate(missing or [None], 1):
        # By another process in the meantime.
        if case and comparison.finished(*case):
            continue
        if case:
            row, latent, seed = case
            print(f"\n[{k}/{len(missing)}] {row.title}, {latent} latents, seed {seed}")
            if not comparison.run(*case):
                return
        found = comparison.all_finished()
        page = compare_page.Page(
            comparison.name, options.table, options.data, options.budget, comparison.command(found)
        )
        compare_page.write(page, found, comparison.table.draw)


def _text(value: Any) -> str:
    """What `overrides` reads as this value."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except json.JSONDecodeError:
        return value
    return json.dumps(value)


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
