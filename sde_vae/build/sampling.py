"""config.sampling -> how scores become images."""

from ml_collections import ConfigDict

from sde_vae.diffusion.sdes import SDE
from sde_vae.errors import BadInput, choose, shortened
from sde_vae.inference.decoding import Decoder
from sde_vae.solvers import grids
from sde_vae.solvers.exponential import ddim, dpm_solver_pp_2m
from sde_vae.solvers.heun import heun
from sde_vae.solvers.langevin import langevin, predictor_corrector
from sde_vae.solvers.ode import ode
from sde_vae.solvers.step import clipped_denoise, denoise, rescale
from sde_vae.solvers.stochastic import ancestral, clipped_ancestral, euler_maruyama, reverse_diffusion

# Each takes config.sampling and uses what it needs.
SOLVERS = {
    "euler_maruyama": lambda sampling: euler_maruyama,
    "reverse_diffusion": lambda sampling: reverse_diffusion,
    "ancestral": lambda sampling: clipped_ancestral if sampling.clip_sample else ancestral,
    "predictor_corrector": lambda sampling: predictor_corrector(
        reverse_diffusion, langevin(sampling.snr, sampling.corrector_steps)
    ),
    "ddim": lambda sampling: ddim(sampling.eta, sampling.clip_sample),
    "heun": lambda sampling: heun(sampling.churn / sampling.steps),
    "dpm_solver_pp_2m": lambda sampling: dpm_solver_pp_2m(sampling.eta),
    "ode": lambda sampling: ode(sampling.rtol, sampling.atol),
}
# Those that read clip_sample.
CLIPPING = ("ancestral", "ddim")
# Those that solve the probability-flow ODE in both directions.
INVERTERS = {
    "ddim": lambda sampling: ddim(),
    "heun": lambda sampling: heun(),
    "dpm_solver_pp_2m": lambda sampling: dpm_solver_pp_2m(),
    "ode": lambda sampling: ode(sampling.rtol, sampling.atol),
}
# Each takes (sde, steps, rho) and uses what it needs.
GRIDS = {
    "uniform_t": lambda sde, steps, rho: grids.uniform_t(sde, steps),
    "uniform_log_snr": lambda sde, steps, rho: grids.uniform_log_snr(sde, steps),
    "edm": grids.edm,
    "leading": lambda sde, steps, rho: grids.leading(sde, steps),
    "linspace": lambda sde, steps, rho: grids.linspace(sde, steps),
    "trailing": lambda sde, steps, rho: grids.trailing(sde, steps),
}


def build_decoder(config: ConfigDict, sde: SDE) -> Decoder:
    solver = choose("config.sampling.solver", config.sampling.solver, SOLVERS)
    finish = clipped_denoise if config.sampling.solver in CLIPPING and config.sampling.clip_sample else denoise
    return Decoder(sde, solver(config.sampling), build_grid(config, sde, config.sampling.solver), finish)


def build_inverter(config: ConfigDict, sde: SDE) -> Decoder:
    solver = choose("config.sampling.inverter", config.sampling.inverter, INVERTERS)
    return Decoder(sde, solver(config.sampling), build_grid(config, sde, config.sampling.inverter), rescale)


def build_grid(config: ConfigDict, sde: SDE, solver: str) -> grids.Grid:
    sampling = config.sampling
    grid = choose("config.sampling.grid", sampling.grid, GRIDS)
    if solver == "ode":
        # It finds its own steps between T and t_min, the ends of every other grid.
        return grids.uniform_t(sde, 1)
    try:
        return grid(sde, sampling.steps, sampling.rho)
    except ValueError as error:
        raise BadInput(
            f"config.sampling.grid: {sampling.grid!r} is made of whole steps of a discrete schedule, and the SDE has {shortened(str(error))}; set "
            "config.sampling.steps, or a grid such as 'uniform_log_snr'"
        ) from error
