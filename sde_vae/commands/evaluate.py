"""Evaluate a trained run: metrics.json, figures and report.html."""

import json
import re
import shutil
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sde_vae.build.data import evaluated_split
from sde_vae.build.evaluation import build_eval_data, build_evaluators
from sde_vae.build.fields import default_config
from sde_vae.build.metric_networks import build_metric_networks
from sde_vae.build.parameters import other_images
from sde_vae.build.readiness import require_takes_prior
from sde_vae.commands.train import note_other_images, parameter_count, report_skipped, train_stages
from sde_vae.data.dataset import fingerprint
from sde_vae.data.pipeline import check_images
from sde_vae.errors import BadInput, shortened
from sde_vae.evaluators.context import EvalContext, Evaluator, MetricNetworks, make_context
from sde_vae.files import finite_json, read_checked, write_bytes, write_checked, write_json
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.keyed_folder import Key, as_key, held_key, write_key
from sde_vae.reporting import plots
from sde_vae.reporting.provenance import provenance
from sde_vae.reporting.report import write_report
from sde_vae.reporting.tables import as_text, tables
from sde_vae.run import Run
from sde_vae.training import logs
from sde_vae.training import workdir as workdirs
from sde_vae.training.description import describe
from sde_vae.training.lock import locked
from sde_vae.training.renamed_fields import renamed

# The folder of finished evaluators, in the folder of an evaluation: evaluators/NAME holds the metrics and the figures of one.
RESULTS, METRICS = "evaluators", "result.json"
# Fields that do not change a figure, or whose effect shows in the digests of parameters and weights.
WITHOUT_EFFECT = (
    "parallel",
    "keep_checkpoints",
    "retrain",
    "data.dir",
    "data.cache",
    "data.workers",
    "data.fit",
    "data.background",
    "data.to_grey",
    "data.follow_links",
    "eval.name",
    "eval.evaluators",
    "eval.lpips_dir",
    "eval.fid_weights",
    "prior.checkpoint",
    "prior.preset",
    "prior.scheduler",
    *(f"stages.{stage}.{field}" for stage in workdirs.STAGES for field in workdirs.OF_LOOP),
)


class Evaluation(NamedTuple):
    """The folder of an evaluation, and all its metrics, those of earlier evaluators with the same key among them."""

    directory: Path
    metrics: dict[str, Any]


def evaluate_run(run: Run) -> Evaluation:
    """Run config.eval.evaluators on `run`, write WORKDIR/eval, and print the tables.

    Results accumulate in a folder as long as model, data and settings are the same. Others go to a folder of their own,
    WORKDIR/eval/NAME: config.eval.name, or a name made of what differs. An evaluation that was stopped goes on where it was.
    """
    config, experiment = run.config, run.experiment
    if not experiment.stages and not (run.workdir / "config.json").exists():
        # A pre-trained model alone: there is nothing to train before it is evaluated.
        train_stages(config, experiment, run.workdir)
    require_takes_prior(config, experiment)
    # The lock would make the folder.
    if not run.workdir.is_dir():
        raise BadInput(
            f"--workdir: expected a trained run, found no folder {run.workdir}; train it with --mode train, or name another"
        )
    # Before the parameters are read: another process may be training them.
    with locked(run.results):
        images = experiment.load().split("train").images
        check_images(run.trained.data, images, str(run.workdir / experiment.final.name))
        for note in notes(run):
            print(note)
        networks = build_metric_networks(config)
        key = as_key(evaluation_key(run, networks))
        return evaluate_into(evaluation_folder(run.results / "eval", config.eval.name, key), run, networks, key)


def evaluate_into(out: Path, run: Run, networks: MetricNetworks, key: Key) -> Evaluation:
    """Run the evaluators whose results are not in the folder `out` yet, and write its report."""
    config, experiment = run.config, run.experiment
    write_key(out, key)
    context = make_context(
        run.model,
        build_eval_data(config, experiment.load()),
        networks,
        ResumeCache(out / ".resume", key),
        config.model.latent_dim,
        config.eval.samples,
        config.eval.batch_size,
        config.seed,
        experiment.measurement,
        experiment.shape,
    )
    metrics = accumulate(build_evaluators(config), context, out)
    metrics |= {"n": len(context.data.test), "seed": config.seed}
    metrics |= {"latent_dim": config.model.latent_dim} if experiment.final.method.encode else {}
    metrics |= {"method": experiment.title, "step": run.trained.step, "split": config.eval.split, **networks.weights}
    metrics |= {f"{stage}_steps_per_second": rate for stage, rate in speeds(run).items()}
    write_json(out / "metrics.json", metrics)
    finish(run, context, out, {name: value for name, value in metrics.items() if value is not None})
    return Evaluation(out, metrics)


def notes(run: Run) -> list[str]:
    """Return what a reader of the figures should know: a swapped prior, other images, an unfinished stage."""
    config, experiment = run.config, run.experiment
    found = []
    if config.eval.prior and experiment.final.name == "correction":
        found.append(
            "note: the correction was trained on the residual of its own prior; config.eval.prior is another one"
        )
    if config.eval.prior and config.method == "pdae":
        found.append("note: the shift network was trained on its own prior; config.eval.prior is another one")
    if config.eval.prior and other_images(run.stage("prior"), experiment.load()):
        found.append(note_other_images("config.eval.prior"))
    return found + run.unfinished()


def evaluation_key(run: Run, networks: MetricNetworks) -> dict[str, Any]:
    """Return what decides the figures: the settings, the model, the data and the networks of the metrics."""
    data = run.experiment.load()
    return {
        "config": with_effect(workdirs.flatten(run.config.to_dict())),
        "data": [fingerprint(data.split("train").images), fingerprint(evaluated_split(run.config, data))],
        "weights": networks.weights,
        "step": run.trained.step,
        "trained": describe(run.trained.params),
        "frozen": describe(run.frozen),
        "latent": describe(run.latent.params) if run.latent else None,
    }


def with_effect(config: workdirs.Flat) -> workdirs.Flat:
    """Return the fields that may change a figure, as JSON gives them back."""
    return {name: value for name, value in workdirs.as_json(config).items() if name not in WITHOUT_EFFECT}


def evaluation_folder(root: Path, name: str, key: dict[str, Any]) -> Path:
    """Return the folder for the results of `key`: never one that holds the results of another key.

    Raises BadInput if the folder that config.eval.name asks for holds others.
    """
    if name:
        if not re.fullmatch(r"\w[\w.=+-]*", name) or name == RESULTS:
            raise BadInput(
                f"config.eval.name: got {name!r}, expected a letter or digit, then any of these and . _ = + -, but not {RESULTS}"
            )
        if (held := results_key(root / name)) not in (None, key):
            raise BadInput(f"config.eval.name: {root / name} holds the results of other settings; choose another name")
        return root / name
    held = results_key(root)
    if held in (None, key):
        return root
    out = root / difference(held, key)
    if results_key(out) not in (None, key):
        out = root / f"{out.name}_{abs(hash_of(key)):08x}"
    print(f"note: {root} holds the results of other settings; these go to {out}")
    return out


def results_key(folder: Path) -> Key | None:
    """Return the key of the results in a folder: None if there are none, {} if there are some of unknown origin."""
    some = (folder / "metrics.json").exists() or any(folder.glob(f"{RESULTS}/*"))
    return _of_today(held_key(folder) or {}) if some else None


def _of_today(key: Key) -> Key:
    """A key with today's fields. One that is newer than the results has its default, which is how they were made."""
    if not isinstance(config := key.get("config"), dict):
        return key
    return key | {"config": with_effect(workdirs.flatten(default_config().to_dict()) | renamed(config))}


def difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return a name made of what `new` has and `old` has not: "n=100_steps=50", or "step=4000"."""
    before, now = old.get("config", {}), new["config"]
    changed = {name.split(".")[-1]: value for name, value in now.items() if before.get(name) != value} if before else {}
    if not changed:
        changed = {"step": new["step"]} if old.get("step") != new["step"] else {"model": f"{hash_of(new):08x}"}
    name = "_".join(f"{field}={str(value).rpartition('/')[2]}" for field, value in changed.items())
    return re.sub(r"[^\w.=+-]+", "-", name)[:80]


def hash_of(key: dict[str, Any]) -> int:
    """Return a checksum of a key, the same on every machine."""
    return zlib.crc32(json.dumps(key, sort_keys=True).encode())


def accumulate(evaluators: dict[str, Evaluator], context: EvalContext, out: Path) -> dict[str, Any]:
    """Run the evaluators whose results are not in `out` yet; return the metrics of all that are.

    The metrics and figures of an evaluator come to `out` in one move, once both are complete.
    """
    results = out / RESULTS
    for name, evaluator in evaluators.items():
        if kept(results, name) is not None:
            print(f"{name}: evaluated before with the same model, data and settings; kept")
            continue
        # Those of an evaluator that was stopped are drawn again.
        shutil.rmtree(context.figures, ignore_errors=True)
        metrics, undefined = finite_json(dict(evaluator(context)))
        if undefined:
            print(
                f"note: {name}: {len(undefined)} metrics are not finite, null in the files: {', '.join(undefined[:5])}"
            )
        figures = {figure.name: zlib.crc32(figure.read_bytes()) for figure in context.figures.glob("*.*")}
        write_checked(context.figures / METRICS, {"metrics": metrics, "figures": figures})
        results.mkdir(exist_ok=True)
        context.figures.rename(results / name)
    names = sorted({path.stem for path in results.glob("*")})
    found = {name: metrics for name in names if (metrics := kept(results, name)) is not None}
    order = [*evaluators, *(name for name in found if name not in evaluators)]
    return {metric: value for name in order for metric, value in found[name].items()}


def kept(results: Path, name: str) -> dict[str, Any] | None:
    """Return the metrics of an evaluator that has finished, or None. One whose files are damaged is removed, with a warning."""
    folder, earlier = results / name, results / f"{name}.json"
    try:
        if folder.is_dir():
            found = read_checked(folder / METRICS)
            for figure, crc32 in found["figures"].items():
                if zlib.crc32((folder / figure).read_bytes()) != crc32:
                    raise ValueError(f"the checksum of {figure} is wrong")
            return found["metrics"]
        # Version 0.1.0 kept the metrics so, and the figures in the folder above.
        found = json.loads(earlier.read_bytes()) if earlier.exists() else None
        if not isinstance(found, dict | None):
            raise ValueError("it holds no metrics")
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        warnings.warn(f"{folder}: damaged ({shortened(str(error))}); to be evaluated again", stacklevel=2)
        shutil.rmtree(folder, ignore_errors=True)
        earlier.unlink(missing_ok=True)
        return None


def speeds(run: Run) -> dict[str, float]:
    """Return stage -> the median steps per second of its training, where they were logged."""
    rates = {}
    for stage in run.experiment.stages:
        rows = logs.read(run.workdir / stage.name / "metrics.jsonl")
        if of_stage := [row["steps_per_second"] for row in rows if row.get("steps_per_second")]:
            rates[stage.name] = float(np.median(of_stage))
    return rates


def finish(run: Run, context: EvalContext, out: Path, metrics: dict[str, Any]) -> None:
    """Draw the training curves, copy the figures to `out`, write the report, and print the tables.

    The figures stay with the results of their evaluators: stopped at any moment, the next evaluation copies them again.
    """
    logged = {stage.name: logs.read(run.workdir / stage.name / "metrics.jsonl") for stage in run.experiment.stages}
    if logged := {name: rows for name, rows in logged.items() if rows}:
        plots.curves(logged, context.figures / "curves.png")
    for figure in [*context.figures.glob("*.*"), *(out / RESULTS).glob("*/*.*")]:
        if figure.name != METRICS:
            write_bytes(out / figure.name, figure.read_bytes())
    latents = f", {run.config.model.latent_dim} latents" if run.experiment.final.method.encode else ""
    title = f"{run.experiment.title} on {run.config.data.name}{latents}"
    write_report(out / "report.html", title, metrics, describe_run(run))
    context.cache.discard()
    print("\n\n".join(as_text(table) for table in tables(metrics)))
    for name, identity in context.networks.weights.items():
        print(f"{name}  {identity}")
    report_skipped(run.experiment.load(), run.results)
    print(f"\nmetrics  {out / 'metrics.json'}\nreport   {out / 'report.html'}")


def describe_run(run: Run) -> dict[str, Any]:
    """Return what the report says of how the run was made."""
    experiment = run.experiment
    return provenance(
        trained=workdirs.read_facts(run.workdir),
        evaluated=workdirs.facts(),
        config=workdirs.flatten(run.config.to_dict()),
        defaults=workdirs.flatten(default_config().to_dict()),
        logs={stage.name: logs.read(run.workdir / stage.name / "metrics.jsonl") for stage in experiment.stages},
        parameters={stage.name: parameter_count(stage) for stage in experiment.stages},
        images={name: len(split.images) for name, split in experiment.load().splits.items()},
    )
