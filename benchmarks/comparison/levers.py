"""The rows of the table of levers: what single changes of ScoreVAE are worth."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from benchmarks.comparison.rows import SYNTHETIC, UNCORRECTED, Changes, Row, against_collapse, lifting
from sde_vae.build.config import set_fields
from sde_vae.build.objectives import WEIGHTS
from sde_vae.build.sdes import build_sde
from sde_vae.diffusion.sdes import log_snr_range

# Three changes together: the input, the weight and the lifted encoder.
BEST, TITLE = "filtered_velocity_lifted", "filtered, weight velocity, lifted"
EULER = {"sampling.solver": "euler_maruyama", "sampling.grid": "uniform_t", "sampling.steps": 250}
# Changes of the decoding alone: they share what was trained.
DECODING: dict[str, tuple[str, Changes]] = {
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
    best = plain | trained[BEST][1]
    found = [Row("as_configured", "as configured", plain)]
    found += [Row(name, title, plain | more, "as_configured") for name, (title, more) in DECODING.items()]
    found += [Row(name, title, plain | more) for name, (title, more) in trained.items()]
    found += [Row(f"{BEST}_{name}", f"{TITLE}, {title}", best | more, BEST) for name, (title, more) in DECODING.items()]
    for weight in ("velocity", "simple_velocity"):
        own = {"stages.prior.weight": weight}
        found.append(Row(f"{BEST}_prior_{weight}", f"{TITLE}, prior of weight {weight}", best | own))
    configs = [set_fields(config, row.changes).to_dict() for row in found]
    return [row for i, row in enumerate(found) if configs[i] not in configs[:i]]


def _trained(config: ConfigDict) -> dict[str, tuple[str, Changes]]:
    """Changes that are trained anew."""
    encoder, weights = config.stages.encoder, {name: _weight(config, name) for name in WEIGHTS}
    filtered, lifted, velocity = {"model.encoder.input": "filtered"}, lifting(config), weights["velocity"]
    best, large = filtered | velocity | lifted, {"model.encoder.channels": 2 * config.model.encoder.channels}
    return {
        **{f"weight_{name}": (f"weight {name}", of) for name, of in weights.items() if name != encoder.weight},
        "uniform_t": ("times uniform in t", {"stages.encoder.times": "uniform_t"}),
        "input_filtered": ("encoder of x_t's linear estimate of x_0 (filtered)", filtered),
        "lifted": ("lifted", lifted),
        "filtered_velocity": ("filtered, weight velocity", filtered | velocity),
        "filtered_lifted": ("filtered, lifted", filtered | lifted),
        "velocity_lifted": ("weight velocity, lifted", velocity | lifted),
        BEST: (TITLE, best),
        "input_denoised": ("encoder of E[x_0 given x_t], without t", {"model.encoder.input": "denoised"}),
        "quadratic": ("log q without its log-variance term", {"loss.log_density": "quadratic"}),
        "log_var_bound_3": ("log-variances within 3", {"model.log_var_bound": 3.0}),
        **against_collapse(config),
        "large_encoder": ("encoder of twice the channels", large),
        "dropout": ("dropout of 0.1 in the encoder", {"model.encoder.dropout": 0.1}),
        "slow": ("a third of the learning rate", {"stages.encoder.learning_rate": encoder.learning_rate / 3}),
        "long": ("four times the steps", {"stages.encoder.steps": 4 * encoder.steps}),
        "synthetic": ("as configured, synthetic images", SYNTHETIC),
        f"{BEST}_synthetic": (f"{TITLE}, synthetic images", best | SYNTHETIC),
        f"{BEST}_synthetic_large": (f"{TITLE}, synthetic images, large encoder", best | SYNTHETIC | large),
    }


def _weight(config: ConfigDict, name: str) -> Changes:
    """A weight, and the beta that has the same share of the loss on white data."""
    scale = _mass(config, name) / _mass(config, config.stages.encoder.weight)
    return {"stages.encoder.weight": name, "loss.beta": config.loss.beta * scale}


def _mass(config: ConfigDict, weight: str) -> float:
    """The mean over logSNR of weight times error for pixels ~ N(0, 1), where the best eps_hat errs by sigmoid(logSNR)."""
    sde = build_sde(config.sde)
    levels = jnp.linspace(*log_snr_range(sde), 10_001)
    return float(jnp.mean(WEIGHTS[weight](sde, config.loss.sigmoid_bias)(levels) * jax.nn.sigmoid(levels)))
