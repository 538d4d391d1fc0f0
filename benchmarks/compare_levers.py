"""The rows of the table of levers: what single changes of ScoreVAE are worth."""

import jax
import jax.numpy as jnp
from compare_config import with_changes
from compare_rows import ALONE, DRAWS, Row, against_collapse, lifting
from ml_collections import ConfigDict

from sde_vae.build import build_sde
from sde_vae.build_objectives import WEIGHTS
from sde_vae.sdes import log_snr_range

EULER = {"sampling.solver": "euler_maruyama", "sampling.grid": "uniform_t", "sampling.steps": 250}


def levers(config: ConfigDict) -> list[Row]:
    """ScoreVAE with one thing changed: what each is worth; and the weight `velocity`, the `filtered` and the lifted encoder together, also
    with draws, and with a larger encoder on them. Those of decoding alone share what was trained; those of another prior train that.

    A weight comes with beta times the loss that it gives white data, over that of the config's weight: otherwise a row would say more of
    beta than of the weight. A row that would be another again, as the config has its change already, is left out.
    """
    beta, mass, rate = config.loss.beta, _mass(config, config.loss.weight), config.stages.encoder.learning_rate
    plain = ALONE | {"loss.beta": beta}
    filtered, lifted = {"model.encoder.sees": "filtered"}, lifting(config)
    velocity = {"loss.weight": "velocity", "loss.beta": beta * _mass(config, "velocity") / mass}
    all_three = filtered | velocity | lifted
    large = {"model.encoder.channels": 2 * config.model.encoder.channels}
    decoding = {
        "guidance_0.7": ("guidance 0.7", {"sampling.guidance": 0.7}),
        "guidance_1.5": ("guidance 1.5", {"sampling.guidance": 1.5}),
        "prior_below": ("the prior alone below logSNR -4", {"sampling.prior_below": -4.0}),
        "ddim": ("decoded by DDIM", {"sampling.solver": "ddim"}),
        "em_250": ("decoded by 250 Euler-Maruyama steps", EULER),
    }
    trained = {
        **{
            f"weight_{name}": (f"weight {name}", {"loss.weight": name, "loss.beta": beta * _mass(config, name) / mass})
            for name in WEIGHTS
            if name != config.loss.weight
        },
        "uniform_t": ("times uniform in t", {"loss.times": "uniform_t"}),
        "sees_filtered": ("encoder of x_t's linear estimate of x_0 (filtered)", filtered),
        "lifted": ("lifted", lifted),
        "filtered_velocity": ("filtered, weight velocity", filtered | velocity),
        "filtered_lifted": ("filtered, lifted", filtered | lifted),
        "velocity_lifted": ("weight velocity, lifted", velocity | lifted),
        "all_three": ("filtered, weight velocity, lifted", all_three),
        "sees_denoised": ("encoder of E[x_0 given x_t], without t", {"model.encoder.sees": "denoised"}),
        "quadratic": ("log q without its log-variance term", {"loss.log_density": "quadratic"}),
        "log_var_bound_3": ("log-variances within 3", {"model.log_var_bound": 3.0}),
        **against_collapse(config),
        "large_encoder": ("encoder of twice the channels", large),
        "dropout": ("dropout of 0.1 in the encoder", {"model.encoder.dropout": 0.1}),
        "slow": ("a third of the learning rate", {"stages.encoder.learning_rate": rate / 3}),
        "long": ("four times the steps", {"stages.encoder.steps": 4 * config.stages.encoder.steps}),
        "draws": ("as configured, and draws", DRAWS),
        "all_three_draws": ("filtered, weight velocity, lifted, and draws", all_three | DRAWS),
        "all_three_draws_large": (
            "filtered, weight velocity, lifted, and draws, encoder of twice the channels",
            all_three | DRAWS | large,
        ),
    }
    together = trained["all_three"][0]
    priors = {
        f"all_three_prior_{weight}": (f"{together}, a prior of weight {weight}", all_three | {"prior.weight": weight})
        for weight in ("velocity", "simple_velocity")
    }
    found = [
        Row("as_configured", "as configured", "as_configured", plain),
        *(Row(name, title, "as_configured", plain | more) for name, (title, more) in decoding.items()),
        *(Row(name, title, name, plain | more) for name, (title, more) in trained.items()),
        *(
            Row(f"all_three_{name}", f"{together}, {title}", "all_three", plain | all_three | more)
            for name, (title, more) in decoding.items()
        ),
        *(Row(name, title, name, plain | more) for name, (title, more) in priors.items()),
    ]
    configs = [with_changes(config, row.changes).to_dict() for row in found]
    return [row for i, row in enumerate(found) if configs[i] not in configs[:i]]


def _mass(config: ConfigDict, weight: str) -> float:
    """The mean over logSNR of weight times error, for pixels ~ N(0, 1): the best eps_hat errs by sigmoid(logSNR) there."""
    sde = build_sde(config.sde)
    levels = jnp.linspace(*log_snr_range(sde), 10_001)
    return float(jnp.mean(WEIGHTS[weight](sde, config.loss.sigmoid_bias)(levels) * jax.nn.sigmoid(levels)))
