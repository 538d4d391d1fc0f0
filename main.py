"""Train, evaluate and sample.

    python main.py --config configs/NAME.py --mode train|eval|sample [--workdir DIR] [--config.section.field=value ...]

Exit codes: 0 done (or stopped by SIGTERM with the state saved), 2 bad input, 1 anything else.
"""

from sde_vae import platform

platform.prepare()

import re
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags

from configs import default
from sde_vae import logs, pictures, workdir
from sde_vae.build import build
from sde_vae.build_eval import (
    build_judges,
    build_latent_sampler,
    build_prior_sampler,
    build_subject,
    evaluated_split,
)
from sde_vae.checkpoints import Trained, describe, load_ema
from sde_vae.data.dataset import Dataset, fingerprint, to_unit
from sde_vae.data.pipeline import check_images
from sde_vae.draws import drawn_images
from sde_vae.errors import BadInput, choose, exit_code
from sde_vae.evaluate import evaluate
from sde_vae.experiment import Experiment
from sde_vae.parts import Parts
from sde_vae.tables import as_text, tables
from sde_vae.train import Stage, Stopped, StopRequest, train_stage
from sde_vae.types import Params

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The config file, and its fields as --config.section.field=value."
)
MODE = flags.DEFINE_string("mode", None, "train | eval | sample")
WORKDIR = flags.DEFINE_string("workdir", None, "Where checkpoints, logs and results go; runs/NAME if left out.")
SAMPLES = 64
DEFAULTS = default.get_config().to_dict()


def train(config: ConfigDict, experiment: Experiment, directory: Path) -> bool:
    """True when all is trained; False if SIGTERM stopped it, with the state saved."""
    if jax.process_count() > 1:
        raise BadInput("several hosts: training runs on the devices of one host so far; start it on one")
    # What can be wrong with the input is found before anything is written.
    workdir.check(directory, config.to_dict(), DEFAULTS)
    data = experiment.load()
    if config.prior.checkpoint and (experiment.prior or experiment.drawn_from):
        note_other_images("config.prior.checkpoint", load_prior(config, experiment, directory), data)
    workdir.claim(directory, config.to_dict(), DEFAULTS)
    finished = True
    with StopRequest() as stop:
        for stage in experiment.stages:
            frozen = load_frozen(config, experiment, directory, stage)
            try:
                with stop.at_once():
                    drawn = load_draws(config, experiment, directory, stage.draws) if stage.draws else None
            except Stopped:
                print(f"{stage.name}: stopped by SIGTERM before it began; the same command goes on from here")
                finished = False
                break
            if not train_stage(stage, frozen, directory / stage.name, stop, drawn):
                print(f"{stage.name}: stopped by SIGTERM, the state is saved; the same command goes on from here")
                finished = False
                break
    report_skipped(data, directory)
    return finished


def eval_(config: ConfigDict, experiment: Experiment, directory: Path) -> None:
    workdir.check(directory, config.to_dict(), DEFAULTS)
    out = directory / "eval"
    final = experiment.final
    trained = load_stage(config, experiment, directory, final.name)
    if config.eval.prior and not experiment.prior:
        raise BadInput(
            f"config.eval.prior: got {config.eval.prior!r}, but {experiment.title} has no prior; leave it out"
        )
    if config.eval.prior and final.name == "correction":
        print(
            "note: the correction was trained on what its own prior leaves over; with config.eval.prior it corrects another one"
        )
    frozen = load_frozen(config, experiment, directory, final, config.eval.prior)
    latent = load_stage(config, experiment, directory, experiment.latent.name).params if experiment.latent else None
    data = experiment.load()
    check_images(trained.data, data.split("train").images, str(directory / final.name))
    if config.eval.prior:
        note_other_images("config.eval.prior", load_prior(config, experiment, directory, config.eval.prior), data)
    judges = build_judges(config)
    # What decides the outcome: a part that was made with anything else is made again.
    key = {
        "config": config.to_dict(),
        "data": [fingerprint(data.split("train").images), fingerprint(evaluated_split(config, data))],
        "weights": judges.weights,
        "trained": describe(trained.params),
        "frozen": describe(frozen),
        "latent": describe(latent),
    }
    parts = Parts(out / "parts", key)
    subject = build_subject(config, experiment, trained.params, frozen, latent, judges, parts)

    facts: dict[str, Any] = {"n": len(subject.data.test), "seed": config.seed, "latent_dim": config.model.latent_dim}
    facts |= {"method": experiment.title, "step": trained.step, "split": config.eval.split, **judges.weights}
    for stage in experiment.stages:
        logged = logs.read(directory / stage.name / "metrics.jsonl")
        if rates := [row["steps_per_second"] for row in logged if "steps_per_second" in row]:
            facts[f"{stage.name}_steps_per_second"] = float(np.median(rates))
    title = f"{experiment.title} on {config.data.name}, {config.model.latent_dim} latents"
    metrics = evaluate(experiment.evaluators, subject, parts, out, title, facts, workdir.facts())
    print("\n\n".join(as_text(table) for table in tables(metrics)))
    for name, identity in judges.weights.items():
        print(f"{name}  {identity}")
    report_skipped(data, directory)
    print(f"\nmetrics  {out / 'metrics.json'}\nreport   {out / 'report.html'}")


def sample(config: ConfigDict, experiment: Experiment, directory: Path) -> None:
    workdir.check(directory, config.to_dict(), DEFAULTS)
    out = directory / "samples"
    if experiment.prior:
        trained = load_prior(config, experiment, directory, config.eval.prior)
        draw = build_prior_sampler(config, experiment, trained.params, jax.random.key(config.seed))
    else:
        final = experiment.final
        trained = load_stage(config, experiment, directory, final.name)
        frozen = load_frozen(config, experiment, directory, final)
        draw = build_latent_sampler(config, experiment, trained.params, frozen)
    drawn = to_unit(draw(np.arange(SAMPLES, dtype=np.int32), "sample"))
    pictures.grid(drawn, out / "samples.png")
    np.save(out / "samples.npy", drawn)
    print(f"samples  {out / 'samples.png'}, {out / 'samples.npy'}")


def note_other_images(field: str, prior: Trained, data: Dataset) -> None:
    """Say so if the prior, which `field` names, learnt from other images than these data's training split, or from who knows which."""
    if prior.data is None or prior.data.get("fingerprint") != fingerprint(data.split("train").images):
        print(f"note: {field} was trained on other images, perhaps on some that are held out here")


def report_skipped(data: Dataset, directory: Path) -> None:
    """The images left out, as config.data.skip_corrupt allows: the first few here, all of them in WORKDIR/skipped.txt."""
    if data.skipped:
        logs.write_text(directory / "skipped.txt", "\n".join(data.skipped) + "\n")
        print(f"{data.name}: {len(data.skipped)} images were left out, see {directory / 'skipped.txt'}; the first:")
        print(*data.skipped[:10], sep="\n")


def load_prior(config: ConfigDict, experiment: Experiment, directory: Path, swapped: str = "") -> Trained:
    """The prior's EMA: from the run `swapped` (config.eval.prior), or from config.prior.checkpoint, or from this workdir."""
    fields = {"config.eval.prior": swapped, "config.prior.checkpoint": config.prior.checkpoint}
    field, given = next(((field, given) for field, given in fields.items() if given), ("--workdir", str(directory)))
    other = Path(given).expanduser()
    sde = {name: value for name, value in config.sde.items() if name == "name" or hasattr(experiment.decoder.sde, name)}
    told = {f"sde.{name}": value for name, value in sde.items()} | {"model.prediction": config.model.prediction}
    workdir.check_prior(other, told, field)
    abstract = jax.eval_shape((experiment.prior or experiment.drawn_from).init, jax.random.key(0))
    return load_ema(other / "prior" / "checkpoints", "prior", abstract, field)


def load_stage(config: ConfigDict, experiment: Experiment, directory: Path, name: str, swapped: str = "") -> Trained:
    """The EMA of a stage, the prior's from wherever it was trained."""
    if name == "prior":
        return load_prior(config, experiment, directory, swapped)
    stage = next(stage for stage in experiment.stages if stage.name == name)
    abstract = jax.eval_shape(stage.method.init, jax.random.key(0))
    return load_ema(directory / name / "checkpoints", name, abstract, "--workdir")


def load_frozen(config: ConfigDict, experiment: Experiment, directory: Path, stage: Stage, swapped: str = "") -> Params:
    """What the stage stands on: the EMA of earlier ones, but for a prior that is swapped."""
    stands_on = (load_stage(config, experiment, directory, name, swapped) for name in stage.stands_on)
    return stage.frozen(*(trained.params for trained in stands_on))


def load_draws(config: ConfigDict, experiment: Experiment, directory: Path, n: int) -> np.ndarray:
    """Images drawn from the prior, uint8 [n, H, W, C], made now or before: WORKDIR/draws."""
    prior = load_prior(config, experiment, directory).params
    # Others than those that are shown; 1 is of codes.
    key = jax.random.fold_in(jax.random.key(config.seed), 2)
    return drawn_images(
        directory / "draws",
        n,
        experiment.load().levels,
        {"prior": describe(prior), "seed": config.seed},
        {"sampling": config.sampling.to_dict(), "batch_size": config.eval.batch_size},
        lambda parts: build_prior_sampler(config, experiment, prior, key, parts),
    )


def parse(argv: list[str]) -> tuple[ConfigDict, str, Path]:
    """(config, mode, workdir). Raises BadInput for anything that the command line gets wrong."""
    try:
        flags.FLAGS(argv)
    except (KeyError, AttributeError) as error:
        field = re.search(r"\w+", str(error)).group()
        given = next((a for a in argv if a.startswith("--config.") and field in a), field)
        raise BadInput(f"{given}: there is no such field; configs/default.py has them all") from error
    # absl has its own errors; ml_collections lets through what a value's conversion raises.
    except (flags.Error, TypeError, ValueError) as error:
        raise BadInput(" ".join(str(error).split())) from error
    if CONFIG.value is None:
        raise BadInput("--config: expected a config file, such as --config configs/scorevae_digits.py")
    path = Path(config_flags.get_config_filename(flags.FLAGS["config"]))
    if not path.is_file():
        raise BadInput(f"--config: got {path}, but there is no such file; see configs/")
    try:
        fields = workdir.flatten(CONFIG.value.to_dict()).keys()
    # What ml_collections answers if the file did not load: the file's own error is its cause.
    except OSError as error:
        raise BadInput(f"--config: {path} does not load: {' '.join(str(error).split())}") from error
    known = workdir.flatten(DEFAULTS).keys()
    if odd := sorted(fields ^ known):
        raise BadInput(f"--config: {path} {'lacks' if odd[0] in known else 'has an unknown field'} config.{odd[0]}")
    mode = MODE.value or "none"
    choose("--mode", mode, MODES)
    return CONFIG.value, mode, Path(WORKDIR.value or f"runs/{path.stem}")


MODES = {"train": train, "eval": eval_, "sample": sample}


def main(argv: list[str]) -> int:
    def work() -> None:
        config, mode, directory = parse(argv)
        platform.enable_compilation_cache()
        MODES[mode](config, build(config), directory)

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
