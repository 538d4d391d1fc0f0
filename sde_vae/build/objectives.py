"""config.stages, config.loss and config.model.prediction -> what is minimised."""

from ml_collections import ConfigDict

from sde_vae.diffusion import time_samplers, weights
from sde_vae.diffusion.kl_penalty import Penalty, kl_penalty
from sde_vae.diffusion.sdes import SDE
from sde_vae.diffusion.time_samplers import TimeSampler
from sde_vae.diffusion.weights import Weight
from sde_vae.errors import choose
from sde_vae.methods.prior import Prediction, predicts_flow, predicts_noise, predicts_velocity

# Each takes (sde, sigmoid_bias) and uses what it needs.
WEIGHTS = {
    "likelihood": lambda sde, bias: weights.likelihood_weighting(),
    "simple": lambda sde, bias: weights.simple(sde),
    "simple_velocity": lambda sde, bias: weights.simple_velocity(sde),
    "simple_beta": lambda sde, bias: weights.simple_beta(sde),
    "p2": lambda sde, bias: weights.p2(sde),
    "min_snr": lambda sde, bias: weights.min_snr(sde),
    "pdae": lambda sde, bias: weights.pdae(sde),
    "sigmoid": lambda sde, bias: weights.sigmoid(bias),
    "velocity": lambda sde, bias: weights.velocity(bias),
    "flow": lambda sde, bias: weights.flow(),
    "flow_logit_normal": lambda sde, bias: weights.flow_logit_normal(),
}
TIMES = {"uniform_t": time_samplers.times_uniform_in_t, "uniform_log_snr": time_samplers.times_uniform_in_log_snr}

PREDICTIONS = {"noise": predicts_noise, "velocity": predicts_velocity, "flow": predicts_flow}


def build_objective(config: ConfigDict, stage: str, sde: SDE) -> tuple[TimeSampler, Weight]:
    """Return the times and the weight that config.stages.STAGE names."""
    section = config.stages[stage]
    return (
        choose(f"config.stages.{stage}.times", section.times, TIMES)(sde, section.batch_size),
        choose(f"config.stages.{stage}.weight", section.weight, WEIGHTS)(sde, config.loss.sigmoid_bias),
    )


def build_penalty(config: ConfigDict) -> Penalty:
    """Return the penalty on q(z | x_0) that config.loss describes."""
    return kl_penalty(config.loss.beta, config.loss.free_bits, config.loss.kl_warmup)


def build_prediction(config: ConfigDict) -> Prediction:
    """Return what the diffusion networks predict."""
    return choose("config.model.prediction", config.model.prediction, PREDICTIONS)
