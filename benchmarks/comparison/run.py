"""Trains and evaluates the rows that are missing, and writes the table after each."""

from typing import Any

import jax

from benchmarks import record
from benchmarks.comparison import page, results, training
from benchmarks.comparison.plan import Case, Comparison, Options, fields
from benchmarks.comparison.results import Record, Results
from benchmarks.comparison.rows import Row
from sde_vae.build.config import set_fields
from sde_vae.errors import BadInput


def compare(options: Options, changes: dict[str, Any]) -> None:
    """Run a command of the comparison. Raises BadInput before anything is trained."""
    comparison = Comparison(options, changes)
    missing = comparison.missing(comparison.load())
    # A config that does not build, or a missing network, is found now. A seed is never what is wrong.
    for row, latent, seed in {(row.name, latent): (row, latent, seed) for row, latent, seed in missing}.values():
        training.check(comparison.config_of(row, latent, seed))
    if missing:
        training.check_networks(comparison.config_of(*missing[0]))
    else:
        write(comparison, comparison.load())
    for k, case in enumerate(missing, 1):
        row, latent, seed = case
        # Another process may have finished it in the meantime.
        if comparison.load().find(row.name, latent, seed):
            continue
        print(f"\n[{k}/{len(missing)}] {row.title}, {latent} latents, seed {seed}")
        made = run(comparison, case)
        if made is None:
            return
        with results.locked(comparison.path):
            found = comparison.load()
            found.references = made.pop("references") | found.references
            found.add(made)
            write(comparison, found)


def run(comparison: Comparison, case: Case) -> Record | None:
    """Train what is not trained yet, priors included, and evaluate. None if training was stopped, with its state saved."""
    row, latent, seed = case
    config, folder = comparison.config_of(*case), comparison.folder(*case)
    priors = [(seed, row), *([(seed + 1, row)] if row.swapped else [])] if row.has_prior else []
    if not all(train_prior(comparison, *of) for of in priors):
        return None
    prior = comparison.prior_of(seed, row)
    if row.synthetic:
        training.share_synthetic(folder, prior)
    if not training.train(config, folder):
        return None
    metrics, images = training.evaluate(config, folder)
    if metrics["step"] != (steps := config.stages[row.stages[-1]].steps):
        raise BadInput(f"{folder}: was trained for {metrics['step']} steps, expected {steps}; take another --workdir")
    own = sum(training.training_seconds(folder / stage) for stage in row.stages)
    metrics |= {"seconds/own": own}
    metrics |= {"seconds/all": own + (training.training_seconds(prior / "prior") if row.has_prior else 0.0)}
    image, references = results.strips(images, latent) if comparison.table.with_images else ("", {})
    # Compiled programs are of no use to the next row.
    jax.clear_caches()
    return {
        "row": row.name,
        "latent": latent,
        "seed": seed,
        "prior": training.prior_digest(config, folder) if row.has_prior else "",
        "made": {"machine": record.machine(), "versions": training.versions()},
        "config": fields(row, config),
        "metrics": {name: value for name, value in metrics.items() if not name.startswith(row.hidden)},
        "image": image,
        "references": references,
    }


def train_prior(comparison: Comparison, seed: int, row: Row) -> bool:
    """Train the prior of a seed, or a row's own. False if it was stopped."""
    config = set_fields(comparison.config(None, seed), row.own_prior)
    return training.train(config, comparison.prior_of(seed, row), only="prior")


def write(comparison: Comparison, found: Results) -> None:
    """NAME.json, and NAME.md and NAME.png of what is read from it."""
    found.facts["command"] = comparison.command(found)
    results.save(comparison.path, found)
    written, path = results.load(comparison.path), record.RESULTS / comparison.name
    title = f"{comparison.options.table.capitalize()}: {comparison.options.data}"
    record.write_page(comparison.name, title, page.lines(written), made_by(written))
    record.save_png(comparison.table.draw(written), record.RESULTS / f"{comparison.name}.png")
    print(f"page: {path.with_suffix('.md')}")


def made_by(found: Results) -> dict[str, Any]:
    """Command, machines and versions, for the last line of a page."""
    made = [of["made"] for of in found.records]
    versions = {package: {one["versions"][package] for one in made} for package in made[0]["versions"]}
    return {
        "command": found.facts["command"],
        "machine": "; ".join(sorted({one["machine"] for one in made})),
        "versions": {package: " or ".join(sorted(of)) for package, of in versions.items()},
    }
