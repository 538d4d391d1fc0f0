"""Quality against evaluations of the score (NFE) for every solver on one trained run, and how well x_T is recovered by inversion.

    python -m benchmarks.solvers --data digits|fashion_mnist|... [--name NAME] [--workdir DIR] [--n N] [--seeds 3] [--nfe 5 10 ...]
        [--reference 1000] [--reference_grids NAME ...] [--split valid] [--solvers NAME ...] [--config.section.field=value ...]

Reconstructs the first n images of the split. A seed is one z ~ q(z | x_0) and one x_T for each image, the same for all solvers, so
solvers are compared on equal noise. NFE is counted and includes the last denoising; --nfe gives budgets.

The run is of configs/scorevae_NAME.py. NAME is DATA by default; flow_digits is the other one that has results.

Writes benchmarks/results/solvers_NAME.{json,md,png}. Measurements are cached in WORKDIR/benchmarks/solvers: the same command
resumes, and seeds, budgets and solvers can be added.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.arguments import overrides, parser_of
from benchmarks.record import RESULTS, record, save_png
from benchmarks.solvers import plots
from benchmarks.solvers.candidates import (
    ADAPTIVE,
    CHURN,
    INVERTERS,
    RHO,
    SOLVERS,
    Candidate,
    adaptive_candidates,
    candidate,
    candidates,
)
from benchmarks.solvers.figures import figures
from benchmarks.solvers.measure import Bench
from benchmarks.solvers.page import page
from sde_vae import load, runtime
from sde_vae.build.evaluation import build_eval_data
from sde_vae.build.metric_networks import build_metric_networks
from sde_vae.data.dataset import fingerprint
from sde_vae.errors import BadInput, choose, exit_code
from sde_vae.evaluators.context import EvalContext, make_context
from sde_vae.evaluators.set_distances import fd_name
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.metrics.sets.pixels import load_pixels
from sde_vae.solvers.step import rescale
from sde_vae.training.description import describe

ROOT = Path(__file__).parent.parent.parent
REFERENCE = ("uniform_t", "uniform_log_snr")


def open_run(options: argparse.Namespace, changes: dict[str, Any]) -> tuple[EvalContext, int]:
    """(the run's model, data and metric networks; the encoder's step). Raises BadInput that names the command that trains it."""
    directory = (options.workdir or ROOT / "runs" / f"scorevae_{options.name}").expanduser().absolute()
    if not (directory / "encoder" / "checkpoints").is_dir():
        train = f"python main.py --config configs/scorevae_{options.name}.py --mode train --workdir {directory}"
        raise BadInput(f"--workdir: expected a trained run in {directory}, found none; this trains it: {train}")
    asked = {"eval.n": options.n, "eval.split": options.split, "eval.lpips": ("alex",)}
    run = load(directory, changes | asked)
    data = build_eval_data(run.config, run.experiment.load())
    networks = build_metric_networks(run.config)
    networks = networks._replace(extractor=networks.extractor or load_pixels(run.config.data.channels))
    key = {
        "config": run.config.to_dict(),
        "held out": fingerprint(data.held_out),
        "networks": [networks.weights, networks.extractor.identity],
        "frozen": describe(run.frozen),
        "trained": describe(run.trained.params),
        "rho and churn": [RHO, CHURN],
    }
    cache = ResumeCache(directory / "benchmarks" / "solvers", key)
    of = run.config
    context = make_context(
        run.model, data, networks, cache, of.model.latent_dim, of.eval.samples, of.eval.batch_size, of.seed
    )
    return context, run.trained.step


def plan(context: EvalContext, options: argparse.Namespace) -> tuple[list[Candidate], list[Candidate], list[Candidate]]:
    """(the reference on each of its grids, the candidates that decode, those that invert)."""
    sde, inverters = context.model.decoder.sde, [name for name in INVERTERS if name in options.solvers]
    references = [candidate(sde, "euler_maruyama", grid, options.reference) for grid in options.reference_grids]
    decoders = list(candidates(sde, options.solvers, options.nfe))
    inversions = list(candidates(sde, inverters, options.nfe, rescale))
    if ADAPTIVE in options.solvers:
        decoders += adaptive_candidates(context)
        inversions += adaptive_candidates(context, rescale)
    return references, decoders, inversions


def measure(options: argparse.Namespace, changes: list[str]) -> None:
    for name in options.solvers:
        choose("--solvers", name, dict.fromkeys([*SOLVERS, ADAPTIVE]))
    if min(options.seeds, options.reference, *options.nfe) < 1:
        raise BadInput("--seeds, --reference, --nfe: expected numbers of at least 1")
    context, step = open_run(options, overrides(changes))
    bench = Bench(context)
    references, decoders, inversions = plan(context, options)
    total = options.seeds * sum(c.nfe for c in references + decoders) + 2 * sum(c.nfe for c in inversions)
    with tqdm(total=total, unit="evaluation", smoothing=0.1) as bar:

        def done(c: Candidate, nfe: int, measured: dict) -> dict:
            bar.update(nfe)
            bar.set_postfix_str(c.name)
            return measured

        decoded = [
            (c, [done(c, c.nfe, bench.reconstruct(c, seed)) for seed in range(options.seeds)])
            for c in references + decoders
        ]
        inverted = [(c, done(c, 2 * c.nfe, bench.invert(c))) for c in inversions]

    facts = {
        "data": options.data,
        "name": options.name,
        "split": options.split,
        "n": len(bench.test),
        "seeds": options.seeds,
        "step": step,
        "latent_dim": context.latent,
        "fd": fd_name(context.networks.extractor),
        "weights": context.networks.weights,
        "rho": RHO,
        "churn": CHURN,
    }
    found = figures(decoded[: len(references)], decoded[len(references) :], inverted) | facts
    name = f"solvers_{options.name}"
    save_png(plots.draw(found), RESULTS / f"{name}.png")
    record(name, f"Solvers: {options.name}", found, *page(found, options.nfe))


def main() -> int:
    parser = parser_of("benchmarks.solvers", __doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--name", help="config without scorevae_, and name of the results; DATA by default")
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nfe", type=int, nargs="+", default=[5, 10, 15, 20, 30, 50, 100])
    parser.add_argument("--reference", type=int, default=1000)
    parser.add_argument("--reference_grids", nargs="+", default=REFERENCE, choices=REFERENCE)
    parser.add_argument("--split", default="valid")
    parser.add_argument("--solvers", nargs="+", default=[*SOLVERS, ADAPTIVE])
    runtime.enable_compilation_cache()
    options, changes = parser.parse_known_args()
    options.name = options.name or options.data
    return exit_code(lambda: measure(options, changes))


if __name__ == "__main__":
    sys.exit(main())
