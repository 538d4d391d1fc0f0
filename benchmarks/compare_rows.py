"""The rows of the comparison: what differs between methods, and nothing else.

All rows of a (latent size, seed) have the same encoder, batch, optimiser, number of steps of each stage, and evaluation; those with
a prior have the same trained one. Their decoders have the prior's channels, multipliers, blocks and dropout.
"""

from importlib import import_module
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from sde_vae.build import build_sde
from sde_vae.build_methods import WEIGHTS
from sde_vae.errors import BadInput
from sde_vae.sdes import log_snr_range

# Steps of every stage, in those of the data's config.
BUDGETS = {"small": 1, "paper": 10}
VAE_BETAS = (0.01, 0.1, 1.0)
BOUND_BETAS = (0.01, 0.1, 0.3, 1.0)
# Of z, of a lifted encoder.
STATISTICS = 64
EULER = {"sampling.solver": "euler_maruyama", "sampling.grid": "uniform_t", "sampling.steps": 250}
LEARNT = {"method": "beta_vae", "model.likelihood.learn_log_var": True, "model.likelihood.log_var": -2.0}
EVALUATORS = ("reconstruction", "averages", "noise_levels", "bits_per_dim", "latents")
# What the comparison decides itself.
DECIDED = (
    "method",
    "seed",
    "model.latent_dim",
    "model.decoder.",
    "model.correction.",
    "model.encoder.statistics",
    "prior.checkpoint",
    "stages.encoder.",
    "stages.correction.",
    "eval.evaluators",
    "eval.lpips",
    "eval.split",
)


class Row(NamedTuple):
    """folder: where it is trained; stages: what is trained for it, of which the first may be another row's. untold: columns that
    would say nothing of this method. swapped: it decodes with the prior of the next seed, which its encoder has not seen.
    """

    name: str
    title: str
    folder: str
    changes: dict[str, Any]
    stages: tuple[str, ...] = ("encoder",)
    untold: tuple[str, ...] = ()
    swapped: bool = False


def rows(config: ConfigDict) -> list[Row]:
    """The methods. config.loss.beta is ScoreVAE's, and one of the others'."""
    beta = config.loss.beta
    alone, lifted = {"stages.correction.steps": 0}, {"model.encoder.statistics": STATISTICS}
    plus = {"loss.beta": beta, "model.encoder.statistics": 0}
    bound = plus | alone | {"loss.beta": 1.0, "loss.weight": "likelihood"}
    both = ("encoder", "correction")
    return [
        # One folder: the encoder is trained once, and the correction stands on it.
        Row("score_vae", f"ScoreVAE, beta {beta:g}", "score_vae", plus | alone),
        Row("score_vae_plus", f"ScoreVAE+, beta {beta:g}", "score_vae", plus, both),
        Row("lifted", f"ScoreVAE, lifted, beta {beta:g}", "lifted", plus | lifted | alone),
        Row("lifted_plus", f"ScoreVAE+, lifted, beta {beta:g}", "lifted", plus | lifted, both),
        Row("swapped", "ScoreVAE, lifted, with another prior", "lifted", plus | lifted | alone, swapped=True),
        *(_beta_vae(b) for b in sorted({*VAE_BETAS, beta})),
        _diff_decoder(beta),
        # A point has no KL, and hence no bound.
        _diff_decoder(0.0, ("KL", "bits/dim")),
        Row("beta_vae_learnt", "VAE, beta 1, learnt variance", "beta_vae_learnt", LEARNT | {"loss.beta": 1.0}),
        Row("score_vae_bound", "ScoreVAE, beta 1, likelihood weight", "score_vae_bound", bound),
    ]


def _beta_vae(beta: float) -> Row:
    name = f"beta_vae_{beta:g}"
    # With its variance fixed at 1 the mass on the grey levels is that of the variance.
    return Row(name, f"beta-VAE, beta {beta:g}", name, {"method": "beta_vae", "loss.beta": beta}, untold=("bits/dim",))


def _diff_decoder(beta: float, untold: tuple[str, ...] = ()) -> Row:
    name = f"diff_decoder_{beta:g}"
    return Row(name, f"DiffDecoder, beta {beta:g}", name, {"method": "diff_decoder", "loss.beta": beta}, untold=untold)


def bounds(config: ConfigDict) -> list[Row]:
    """What z is worth in likelihood: trained on the bound at beta 1, and with a cheaper KL below."""
    scored = {"model.encoder.statistics": STATISTICS, "stages.correction.steps": 0}
    methods = {
        "lifted": ("ScoreVAE, lifted", scored),
        "diff_decoder": ("DiffDecoder", {"method": "diff_decoder"}),
        "beta_vae": ("VAE, learnt variance", LEARNT),
    }
    return [
        Row(
            f"{name}_bound_{beta:g}",
            f"{title}, beta {beta:g}",
            f"{name}_bound_{beta:g}",
            changes | {"loss.beta": beta, "loss.weight": "likelihood"},
        )
        for name, (title, changes) in methods.items()
        for beta in BOUND_BETAS
    ]


def levers(config: ConfigDict) -> list[Row]:
    """ScoreVAE with one thing changed, and the three that pay together: what each is worth. Those of decoding alone share what was trained.

    A weight comes with beta times the loss that it gives white data, over that of the config's weight: otherwise a row would say more of
    beta than of the weight.
    """
    beta, mass, rate = config.loss.beta, _mass(config, config.loss.weight), config.stages.encoder.learning_rate
    plain = {"loss.beta": beta, "stages.correction.steps": 0}
    filtered, lifted = {"model.encoder.sees": "filtered"}, {"model.encoder.statistics": STATISTICS}
    velocity = {"loss.weight": "velocity", "loss.beta": beta * _mass(config, "velocity") / mass}
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
        "sees_filtered": ("encoder of x_t's linear estimate of x_0", filtered),
        "statistics": (f"{STATISTICS} learnt statistics of z", lifted),
        "filtered_velocity": ("both: that estimate, weight velocity", filtered | velocity),
        "filtered_lifted": ("both: that estimate, the statistics", filtered | lifted),
        "velocity_lifted": ("both: weight velocity, the statistics", velocity | lifted),
        "filtered_velocity_lifted": ("all three", filtered | velocity | lifted),
        "sees_denoised": ("encoder of E[x_0 | x_t], without t", {"model.encoder.sees": "denoised"}),
        "quadratic": ("log q without its log-variance term", {"loss.log_density": "quadratic"}),
        "log_var_bound_3": ("log-variances within 3", {"model.log_var_bound": 3.0}),
        "free_bits": ("0.5 free nats a dimension", {"loss.free_bits": 0.5}),
        "kl_warmup": ("KL warm-up over half of the steps", {"loss.kl_warmup": config.stages.encoder.steps // 2}),
        "large_encoder": (
            "encoder of twice the channels",
            {"model.encoder.channels": 2 * config.model.encoder.channels},
        ),
        "slow": ("a third of the learning rate", {"stages.encoder.learning_rate": rate / 3}),
        "long": ("four times the steps", {"stages.encoder.steps": 4 * config.stages.encoder.steps}),
    }
    return [
        Row("as_configured", "as configured", "as_configured", plain),
        *(Row(name, title, "as_configured", plain | more) for name, (title, more) in decoding.items()),
        *(Row(name, title, name, plain | more) for name, (title, more) in trained.items() if _changes(config, more)),
    ]


def _changes(config: ConfigDict, changes: dict[str, Any]) -> bool:
    return with_changes(config, changes).to_dict() != config.to_dict()


def _mass(config: ConfigDict, weight: str) -> float:
    """The mean over logSNR of weight times error, for pixels ~ N(0, 1): the best eps_hat errs by sigmoid(logSNR) there."""
    sde = build_sde(config.sde)
    levels = jnp.linspace(*log_snr_range(sde), 10_001)
    return float(jnp.mean(WEIGHTS[weight](sde, config.loss.sigmoid_bias)(levels) * jax.nn.sigmoid(levels)))


# What is compared: name of the results -> rows(config).
TABLES = {"compare": rows, "levers": levers, "bounds": bounds}


def base_config(data: str, budget: str, changes: dict[str, Any], latent: int | None, seed: int) -> ConfigDict:
    """configs/scorevae_DATA.py, with what all rows share; latent None: as many as it says. Raises BadInput."""
    try:
        config = import_module(f"configs.scorevae_{data}").get_config()
    except ModuleNotFoundError as error:
        raise BadInput(f"--data: got {data!r}, but there is no configs/scorevae_{data}.py") from error
    if taken := [name for name in changes if name.startswith(DECIDED)]:
        raise BadInput(f"--config.{taken[0]}: the comparison decides this itself; see benchmarks/compare_rows.py")
    config = with_changes(config, changes)
    prior, times = config.stages.prior, BUDGETS[budget]
    for stage in (config.stages.encoder, config.stages.correction):
        stage.steps = (
            times * config.stages.encoder.steps if stage is config.stages.encoder else config.stages.encoder.steps
        )
        for field in ("batch_size", "learning_rate", "checkpoint_every", "log_every"):
            stage[field] = prior[field]
    prior.steps = times * prior.steps
    for net in ("decoder", "correction"):
        for field in ("channels", "multipliers", "blocks", "attention", "dropout"):
            config.model[net][field] = config.model.prior[field]
    config.seed = seed
    if latent is not None:
        config.model.latent_dim = latent
    config.eval.evaluators, config.eval.lpips = EVALUATORS, ("alex",)
    return config


def with_changes(config: ConfigDict, changes: dict[str, Any]) -> ConfigDict:
    # Locked: a field that there is not would be added.
    config = ConfigDict(config.to_dict()).lock()
    try:
        config.update_from_flattened_dict(changes)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"--config: {' '.join(str(error).split())}; configs/default.py has all fields") from error
    return config
