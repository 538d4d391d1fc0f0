"""The rows of the table of levers: what single changes of ScoreVAE are worth."""

from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from benchmarks.comparison.rows import SYNTHETIC, UNCORRECTED, Row, against_collapse, lifting
from sde_vae.build.config import set_fields
from sde_vae.build.objectives import WEIGHTS
from sde_vae.build.sdes import build_sde
from sde_vae.diffusion.sdes import log_snr_range

EULER = {"sampling.solver": "euler_maruyama", "sampling.grid": "uniform_t", "sampling.steps": 250}
# (title, changes)
Change = tuple[str, dict[str, Any]]
# Three changes together: the input, the weight and the lifted encoder.
TOGETHER = "filtered, weight velocity, lifted"
# Changes of the decoding alone: they share what was trained.
DECODING: dict[str, Change] = {
    "guidance_0.7": ("guidance 0.7", {"sampling.guidance": 0.7}),
    "guidance_1.5": ("guidance 1.5", {"sampling.guidance": 1.5}),
    "prior_below": ("the prior alone below logSNR -4", {"sampling.prior_below": -4.0}),
    "ddim": ("decoded by DDIM", {"sampling.solver": "ddim"}),
    "em_250": ("decoded by 250 Euler-Maruyama steps", EULER),
}


def levers(config: ConfigDict) -> list[Row]:
    """ScoreVAE with one thing changed, and the best changes together.

    With a weight comes beta times that weight's loss on white data over the configured weight's, or a row would say more of beta
    than of the weight. A row whose change the config already has is left out.
    """
    plain, trained = UNCORRECTED | {"loss.beta": config.loss.beta}, _trained(config)
    together = trained["filtered_velocity_lifted"][1]
    priors = {
        f"filtered_velocity_lifted_prior_{weight}": (
            f"{TOGETHER}, prior of weight {weight}",
            together | {"stages.prior.weight": weight},
        )
        for weight in ("velocity", "simple_velocity")
    }
    found = [
        Row("as_configured", "as configured", "as_configured", plain),
        *(Row(name, title, "as_configured", plain | more) for name, (title, more) in DECODING.items()),
        *(Row(name, title, name, plain | more) for name, (title, more) in trained.items()),
        *(
            Row(
                f"filtered_velocity_lifted_{name}",
                f"{TOGETHER}, {title}",
                "filtered_velocity_lifted",
                plain | together | more,
            )
            for name, (title, more) in DECODING.items()
        ),
        *(Row(name, title, name, plain | more) for name, (title, more) in priors.items()),
    ]
    configs = [set_fields(config, row.changes).to_dict() for row in found]
    return [row for i, row in enumerate(found) if configs[i] not in configs[:i]]


def _trained(config: ConfigDict) -> dict[str, Change]:
    """Changes that are trained anew."""
    filtered, lifted = {"model.encoder.input": "filtered"}, lifting(config)
    weights = {name: _weight(config, name) for name in WEIGHTS}
    velocity = weights["velocity"]
    together = filtered | velocity | lifted
    large = {"model.encoder.channels": 2 * config.model.encoder.channels}
    encoder = config.stages.encoder
    return {
        **{
            f"weight_{name}": (f"weight {name}", changes) for name, changes in weights.items() if name != encoder.weight
        },
        "uniform_t": ("times uniform in t", {"stages.encoder.times": "uniform_t"}),
        "input_filtered": ("encoder of x_t's linear estimate of x_0 (filtered)", filtered),
        "lifted": ("lifted", lifted),
        "filtered_velocity": ("filtered, weight velocity", filtered | velocity),
        "filtered_lifted": ("filtered, lifted", filtered | lifted),
        "velocity_lifted": ("weight velocity, lifted", velocity | lifted),
        "filtered_velocity_lifted": (TOGETHER, together),
        "input_denoised": ("encoder of E[x_0 given x_t], without t", {"model.encoder.input": "denoised"}),
        "quadratic": ("log q without its log-variance term", {"loss.log_density": "quadratic"}),
        "log_var_bound_3": ("log-variances within 3", {"model.log_var_bound": 3.0}),
        **against_collapse(config),
        "large_encoder": ("encoder of twice the channels", large),
        "dropout": ("dropout of 0.1 in the encoder", {"model.encoder.dropout": 0.1}),
        "slow": ("a third of the learning rate", {"stages.encoder.learning_rate": encoder.learning_rate / 3}),
        "long": ("four times the steps", {"stages.encoder.steps": 4 * encoder.steps}),
        "synthetic": ("as configured, synthetic images", SYNTHETIC),
        "filtered_velocity_lifted_synthetic": (f"{TOGETHER}, synthetic images", together | SYNTHETIC),
        "filtered_velocity_lifted_synthetic_large": (
            f"{TOGETHER}, synthetic images, encoder of twice the channels",
            together | SYNTHETIC | large,
        ),
    }


def _weight(config: ConfigDict, name: str) -> dict[str, Any]:
    """A weight, and the beta that has the same share of the loss on white data."""
    scale = _mass(config, name) / _mass(config, config.stages.encoder.weight)
    return {"stages.encoder.weight": name, "loss.beta": config.loss.beta * scale}


def _mass(config: ConfigDict, weight: str) -> float:
    """The mean over logSNR of weight times error for pixels ~ N(0, 1), where the best eps_hat errs by sigmoid(logSNR)."""
    sde = build_sde(config.sde)
    levels = jnp.linspace(*log_snr_range(sde), 10_001)
    return float(jnp.mean(WEIGHTS[weight](sde, config.loss.sigmoid_bias)(levels) * jax.nn.sigmoid(levels)))
