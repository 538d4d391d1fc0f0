"""ConfigDict -> what is minimised. Like build.py, a reader of config."""

from ml_collections import ConfigDict

from sde_vae import losses
from sde_vae.errors import choose
from sde_vae.losses import TimeSampler, Weight
from sde_vae.penalties import Penalty, kl_penalty
from sde_vae.sdes import SDE

# Each takes (sde, sigmoid_bias) and uses what it needs.
WEIGHTS = {
    "likelihood": lambda sde, bias: losses.likelihood(),
    "simple": lambda sde, bias: losses.simple(sde),
    "simple_velocity": lambda sde, bias: losses.simple_velocity(sde),
    "simple_beta": lambda sde, bias: losses.simple_beta(sde),
    "p2": lambda sde, bias: losses.p2(sde),
    "min_snr": lambda sde, bias: losses.min_snr(sde),
    "sigmoid": lambda sde, bias: losses.sigmoid(bias),
    "velocity": lambda sde, bias: losses.velocity(bias),
}
TIMES = {"uniform_t": losses.uniform_t, "uniform_log_snr": losses.uniform_log_snr}


def build_objective(config: ConfigDict, stage: str, sde: SDE) -> tuple[TimeSampler, Weight]:
    """The times and the weight that config.prior, config.loss or config.correction names."""
    name = {"encoder": "loss"}.get(stage, stage)
    section = config[name]
    return (
        choose(f"config.{name}.times", section.times, TIMES)(sde, config.stages[stage].batch_size),
        choose(f"config.{name}.weight", section.weight, WEIGHTS)(sde, config.loss.sigmoid_bias),
    )


def build_penalty(config: ConfigDict) -> Penalty:
    return kl_penalty(config.loss.beta, config.loss.free_bits, config.loss.kl_warmup)
