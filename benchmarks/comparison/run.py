"""Trains and evaluates the rows that are missing, and writes the table after each."""

from itertools import takewhile
from typing import Any

import jax

from benchmarks import record
from benchmarks.comparison import page, results, training
from benchmarks.comparison.plan import Case, Comparison, Options, fields
from benchmarks.comparison.results import Record, Results
from sde_vae.build.config import set_fields
from sde_vae.build.experiment import build
from sde_vae.build.metric_networks import build_metric_networks
from sde_vae.errors import BadInput
from sde_vae.training import workdir


def compare(options: Options, changes: dict[str, Any]) -> None:
    """Run a command of the comparison. Raises BadInput before anything is trained."""
    comparison = Comparison(options, changes)
    missing = comparison.missing(found := comparison.load())
    # A config that does not build, or a missing network, is found now. A seed is never what is wrong.
    for case in {(row.name, latent): (row, latent, seed) for row, latent, seed in missing}.values():
        build(comparison.config_of(*case))
    if missing:
        build_metric_networks(comparison.config_of(*missing[0]))
    else:
        write(comparison, found)
    for k, (row, latent, seed) in enumerate(missing, 1):
        # Another process may have finished it in the meantime.
        if comparison.load().find(row.name, latent, seed):
            continue
        print(f"\n[{k}/{len(missing)}] {row.title}, {latent} latents, seed {seed}")
        made = run(comparison, (row, latent, seed))
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
    config, folder, prior = comparison.config_of(*case), comparison.folder(*case), comparison.prior_of(row, seed)
    seeds = [seed, *([seed + 1] if row.swapped else [])] if row.has_prior else []
    for of in seeds:
        of_prior = set_fields(comparison.config(None, of), row.own_prior)
        if not training.train(of_prior, comparison.prior_of(row, of), only="prior"):
            return None
    if row.synthetic:
        training.share_synthetic(folder, prior)
    if not training.train(config, folder):
        return None
    metrics, images = training.evaluate(config, folder)
    if metrics["step"] != (steps := config.stages[row.stages[-1]].steps):
        raise BadInput(f"{folder}: was trained for {metrics['step']} steps, expected {steps}; take another --workdir")
    metrics["seconds/own"] = sum(training.training_seconds(folder / stage) for stage in row.stages)
    of_prior = training.training_seconds(prior / "prior") if row.has_prior else 0.0
    metrics["seconds/all"] = metrics["seconds/own"] + of_prior
    image, references = results.strips(images, latent) if comparison.table.with_images else ("", {})
    # Compiled programs are of no use to the next row.
    jax.clear_caches()
    return {
        **dict(zip(results.PLACE, (row.name, latent, seed), strict=True)),
        "prior": training.prior_digest(config, folder) if row.has_prior else "",
        "made": {"machine": record.machine(), "versions": workdir.facts()["versions"]},
        "config": fields(row, config),
        "metrics": {name: value for name, value in metrics.items() if not name.startswith(row.hidden)},
        "image": image,
        "references": references,
    }


def write(comparison: Comparison, found: Results) -> None:
    """NAME.json, and NAME.md and NAME.png of what is read from it; print the table at a glance."""
    found.facts["command"] = comparison.command(found)
    results.save(comparison.path, found)
    written, folder = results.load(comparison.path), comparison.path.parent
    made = [of["made"] for of in written.records]
    versions = {
        package: " or ".join(sorted({one["versions"][package] for one in made})) for package in made[0]["versions"]
    }
    machine = "; ".join(sorted({one["machine"] for one in made}))
    facts = {"command": written.facts["command"], "machine": machine, "versions": versions}
    title = f"{comparison.options.table.capitalize()}: {comparison.options.data}"
    lines = page.lines(written)
    record.write_page(folder / f"{comparison.name}.md", title, lines, facts)
    record.save_png(comparison.table.draw(written), folder / f"{comparison.name}.png")
    print(title, *takewhile(bool, lines), f"page: {folder / comparison.name}.md", sep="\n")
