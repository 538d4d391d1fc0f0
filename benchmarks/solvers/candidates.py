"""The candidates of the benchmark: solvers, each on its grids, with numbers of steps that spend a budget of evaluations."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax.numpy as jnp

from sde_vae.build.sampling import GRIDS
from sde_vae.diffusion.sdes import SDE
from sde_vae.evaluators.context import EvalContext
from sde_vae.inference.decoding import Decoder, Finish, evaluations
from sde_vae.solvers.exponential import ddim, dpm_solver_pp_2m
from sde_vae.solvers.heun import heun
from sde_vae.solvers.langevin import langevin, predictor_corrector
from sde_vae.solvers.ode import ode
from sde_vae.solvers.step import Solver, denoise, rescale
from sde_vae.solvers.stochastic import ancestral, euler_maruyama, reverse_diffusion

RHO = 7.0
# EDM's S_churn. Over all steps it adds noise back for 2 * 5 in logSNR, half of the range of VP.
CHURN = 5.0
TOLERANCES = (1e-1, 1e-2, 1e-3)


def of_any_steps(solver: Solver) -> Callable[[int], Solver]:
    return lambda steps: solver


# steps -> solver. One object each, so that a solver compiles once.
SOLVERS: dict[str, Callable[[int], Solver]] = {
    "euler_maruyama": of_any_steps(euler_maruyama),
    "reverse_diffusion": of_any_steps(reverse_diffusion),
    "ancestral": of_any_steps(ancestral),
    "predictor_corrector": of_any_steps(predictor_corrector(reverse_diffusion, langevin())),
    "ddim": of_any_steps(ddim()),
    "heun": of_any_steps(heun()),
    "heun_churn": functools.cache(lambda steps: heun(CHURN / steps)),
    "dpm_solver_pp_2m": of_any_steps(dpm_solver_pp_2m()),
    "sde_dpm_solver_pp_2m": of_any_steps(dpm_solver_pp_2m(1.0)),
}
# The grids of each solver; the better solvers have two.
GRIDS_OF = {
    "euler_maruyama": ("uniform_t", "uniform_log_snr"),
    "reverse_diffusion": ("uniform_log_snr",),
    "ancestral": ("uniform_log_snr", "edm"),
    "predictor_corrector": ("uniform_log_snr",),
    # Along uniform_t and on rectified flow, DDIM is Euler's method on the ODE: the sampler of flow matching.
    "ddim": ("uniform_t", "uniform_log_snr", "edm"),
    "heun": ("uniform_log_snr", "edm"),
    "heun_churn": ("edm",),
    "dpm_solver_pp_2m": ("uniform_log_snr", "edm"),
    "sde_dpm_solver_pp_2m": ("uniform_log_snr", "edm"),
}
ADAPTIVE = "ode"
# Solvers of the probability-flow ODE, in both directions.
INVERTERS = ("ddim", "heun", "dpm_solver_pp_2m", ADAPTIVE)


class Candidate(NamedTuple):
    """`grid` is a grid's name, or the tolerance of the adaptive solver, whose steps is 1; nfe is counted."""

    solver: str
    grid: str
    steps: int
    nfe: int
    decoder: Decoder

    @property
    def name(self) -> str:
        return f"{self.solver} {self.grid} {self.steps}"


def candidate(sde: SDE, solver: str, grid: str, steps: int, finish: Finish = denoise) -> Candidate:
    decoder = Decoder(sde, SOLVERS[solver](steps), GRIDS[grid](sde, steps, RHO), finish)
    return Candidate(solver, grid, steps, _counted(sde, decoder.solver, steps, finish), decoder)


def candidates(sde: SDE, solvers: list[str], budgets: list[int], finish: Finish = denoise) -> Iterator[Candidate]:
    """Each solver with a grid, on each of its grids, with as many steps as each budget of evaluations allows."""
    for solver in (name for name in solvers if name in SOLVERS):
        one = SOLVERS[solver](1)
        each = _counted(sde, one, 1, rescale)
        last = _counted(sde, one, 1, finish) - each
        for grid, budget in itertools.product(GRIDS_OF[solver], budgets):
            if (steps := (budget - last) // each) >= 1:
                yield candidate(sde, solver, grid, steps, finish)


def adaptive_candidates(context: EvalContext, finish: Finish = denoise) -> Iterator[Candidate]:
    """The adaptive solver at each tolerance. Its evaluations depend on the score: they are counted for a batch, and are those of the
    slowest image.
    """
    model, x = context.model, jnp.asarray(context.data.test[: context.batch_size])
    sde = model.decoder.sde
    last = _counted(sde, euler_maruyama, 1, finish) - _counted(sde, euler_maruyama, 1, rescale)
    for tolerance in TOLERANCES:
        decoder = Decoder(sde, ode(tolerance, tolerance), GRIDS["uniform_t"](sde, 1, RHO), rescale)

        def count(decoder: Decoder = decoder) -> dict[str, int]:
            score = model.score(model.params, model.encode(model.params, x).mean)
            return {"nfe": evaluations(decoder, score, x.shape)}

        nfe = context.cache.values(f"nfe of {ADAPTIVE} {tolerance}", count)["nfe"]
        yield Candidate(ADAPTIVE, f"tolerance {tolerance:g}", 1, nfe + last, decoder._replace(finish=finish))


@functools.cache
def _counted(sde: SDE, solver: Solver, steps: int, finish: Finish) -> int:
    """Evaluations of a solver on a grid, which depend on the number of steps alone, not on the score or the images."""
    decoder = Decoder(sde, solver, GRIDS["uniform_log_snr"](sde, steps, RHO), finish)
    return evaluations(decoder, lambda x, t: -x, (1, 1))
