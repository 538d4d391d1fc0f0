"""What a command of the comparison asks for: its rows, sizes, seeds and configs, and which of them are finished."""

import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from ml_collections import ConfigDict

from benchmarks.arguments import as_text
from benchmarks.comparison import plots, results, sweeps, training
from benchmarks.comparison.levers import levers
from benchmarks.comparison.results import Results
from benchmarks.comparison.rows import Row, methods, rival, uncorrected
from benchmarks.comparison.settings import BOUND, BUDGETS, CHOSEN, OF_DATA, OF_MACHINE, base_config
from benchmarks.comparison.sweep_rows import bounds, curves
from benchmarks.record import RESULTS, rounded
from sde_vae.build.config import fields as all_fields
from sde_vae.build.config import set_fields
from sde_vae.errors import BadInput, choose


class Table(NamedTuple):
    """rows(config) are compared on `split` by `evaluators`, with `settings` added to the data's; draw(results) is the picture."""

    rows: Callable[[ConfigDict], list[Row]]
    split: str
    evaluators: tuple[str, ...]
    settings: dict[str, Any]
    draw: Callable[[Results], Figure] = plots.draw
    with_images: bool = True


ALL = ("reconstruction", "multi_sample", "noise_levels", "bits_per_dim", "latents", "edits", "latent_prior")
# Settings are chosen on `valid`, methods compared on `test`.
TABLES = {
    "compare": Table(methods, "test", ALL, CHOSEN),
    "levers": Table(levers, "valid", ALL, {}),
    "bounds": Table(bounds, "valid", ("reconstruction", "bits_per_dim", "latents"), BOUND, sweeps.bounds, False),
    "curves": Table(curves, "valid", ("reconstruction", "multi_sample", "noise_levels"), CHOSEN, sweeps.curves, False),
}
# Row, latent size, seed.
Case = tuple[Row, int, int]


class Options(NamedTuple):
    """Of the command line. None is the default of the data or table."""

    data: str
    table: str = "compare"
    seeds: int = 3
    latents: list[int] | None = None
    budget: str = "small"
    rows: list[str] | None = None
    name: str | None = None
    workdir: Path | None = None


class Comparison:
    """One table of one data set and budget. Raises BadInput for options that name nothing."""

    def __init__(self, options: Options, changes: dict[str, Any]) -> None:
        choose("--budget", options.budget, BUDGETS)
        self.table = choose("--table", options.table, TABLES)
        settings = self.table.settings | OF_DATA.get(options.data, {})
        self.options, self.changes = options, settings | changes
        # What the command changes beside the settings.
        self.given = {name: value for name, value in changes.items() if settings.get(name) != value}
        plain = self.config(None, 0)
        if plain.eval.extractor == "none":
            raise BadInput("--config.eval.extractor: got none, expected one: the table has a Frechet distance")
        if options.seeds < 1:
            raise BadInput(f"--seeds: got {options.seeds}, expected at least 1")
        self.rows = {row.name: row for row in self.table.rows(plain)}
        self.wanted = [choose("--rows", name, self.rows) for name in options.rows or self.rows]
        self.latents = options.latents or [plain.model.latent_dim]
        of_budget = "" if options.budget == "small" else f"_{options.budget}"
        self.name = options.name or f"{options.table}_{options.data}{of_budget}"
        self.path = RESULTS / f"{self.name}.json"
        # A budget has checkpoints of its own: those of a longer one would be taken for finished.
        self.directory = (options.workdir or Path("runs", self.name)).expanduser().absolute() / options.budget

    def config(self, latent: int | None, seed: int) -> ConfigDict:
        config = base_config(self.options.data, self.options.budget, self.changes, latent, seed)
        config.eval.split, config.eval.evaluators = self.table.split, self.table.evaluators
        return config

    def prior_of(self, row: Row, seed: int) -> Path:
        """The workdir of the prior that the rows of a seed share, or of a row's own."""
        shared = self.directory / f"seed_{seed}"
        return shared / "_".join(["prior", *map(str, row.own_prior.values())]) if row.own_prior else shared

    def folder(self, row: Row, latent: int, seed: int) -> Path:
        """The workdir of a row."""
        return self.directory / f"seed_{seed}" / f"latent_{latent}" / (row.folder or row.name)

    def config_of(self, row: Row, latent: int, seed: int) -> ConfigDict:
        config = set_fields(self.config(latent, seed), row.changes)
        config.prior.checkpoint = str(self.prior_of(row, seed))
        config.eval.prior = str(self.prior_of(row, seed + 1)) if row.swapped else config.eval.prior
        return config

    def load(self) -> Results:
        """The finished rows. Raises BadInput for one that this table lacks, or that was made with another config."""
        found = results.load(self.path)
        found.facts = {name: getattr(self.options, name) for name in ("table", "data", "budget")}
        found.methods = {row.name: facts_of(row, list(self.rows.values())) for row in self.rows.values()}
        for record in found.records:
            name, latent, seed = place = tuple(record[of] for of in results.PLACE)
            if name not in self.rows:
                raise BadInput(f"{self.path}: has the row {name!r}, which this table lacks; take another --name")
            ours = fields(self.rows[name], self.config_of(self.rows[name], latent, seed))
            theirs = training.with_defaults(record["config"])
            if other := next((field for field, value in ours.items() if not alike(theirs.get(field), value)), None):
                raise BadInput(
                    f"{self.path}: the row {place} was made with config.{other} {theirs.get(other)!r}, expected "
                    f"{ours[other]!r}; take another --name, or remove the row"
                )
        return found

    def missing(self, found: Results) -> list[Case]:
        seeds = range(self.options.seeds)
        cases = [(row, latent, seed) for seed in seeds for latent in self.latents for row in self.wanted]
        return [case for case in cases if not found.find(case[0].name, *case[1:])]

    def command(self, found: Results) -> str:
        """The command that makes all rows of `found`, and what is missing of their sizes and seeds."""
        options, (names, latents, seeds) = self.options, zip(*map(results.place_of, found.records), strict=True)
        words = {
            "--data": [options.data],
            "--table": [options.table],
            "--budget": [] if options.budget == "small" else [options.budget],
            "--name": [options.name] if options.name else [],
            "--seeds": [max(seeds) + 1],
            "--latents": sorted(set(latents)),
            "--rows": [] if set(names) == self.rows.keys() else [name for name in self.rows if name in names],
        }
        flags = [str(word) for flag, values in words.items() if values for word in (flag, *values)]
        given = {name: value for name, value in self.given.items() if not OF_MACHINE.fullmatch(name)}
        changes = [f"--config.{name}={as_text(value)}" for name, value in given.items()]
        return shlex.join(["python", "-m", "benchmarks.comparison", *flags, *changes])


def facts_of(row: Row, rows: list[Row]) -> dict[str, Any]:
    """What pages and pictures ask of a row, as far as it is not empty."""
    facts = {name: getattr(row, name) for name in ("series", "at", "synthetic", "swapped")}
    facts |= {"rival": rival(row, rows), "uncorrected": uncorrected(row, rows)}
    facts |= {"own_prior": ", ".join(f"{name}={value}" for name, value in row.own_prior.items())}
    return {"method": row.title} | {name: value for name, value in facts.items() if value}


def alike(a: Any, b: Any) -> bool:
    """Return whether two values of a field are equal; numbers to six digits, as those computed in float32 differ by processor."""
    return math.isclose(a, b, rel_tol=1e-6) if isinstance(a, float) and isinstance(b, float) else a == b


def fields(row: Row, config: ConfigDict) -> dict[str, Any]:
    """The fields of the config that make a row what it is: without the machine's, and those that its method does not read."""
    flat, known = rounded(training.with_defaults(config.to_dict())), all_fields()

    def made_of(name: str) -> bool:
        # The prior was trained by these fields, in a workdir of its own.
        if name.startswith(("prior.", "stages.prior.")):
            return row.has_prior
        return known[name].reader.holds(config) and name not in ("eval.evaluators", "eval.name")

    return {name: v for name, v in flat.items() if made_of(name) and not OF_MACHINE.fullmatch(name)}
