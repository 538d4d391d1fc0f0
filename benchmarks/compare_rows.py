"""The rows of the comparison: what differs between methods, and nothing else.

All rows of a (latent size, seed) have the same encoder, batch, optimiser, number of steps and evaluation; those with a prior have
the same trained one. Their decoders have the prior's channels, multipliers and blocks.
"""

from importlib import import_module
from typing import Any, NamedTuple

from ml_collections import ConfigDict

# Steps of every stage, in those of the data's config.
BUDGETS = {"small": 1, "paper": 10}
VAE_BETAS = (0.01, 0.1, 1.0)
EVALUATORS = ("reconstruction", "averages", "bits_per_dim", "latents")


class Row(NamedTuple):
    """folder: where it is trained; stages: what is trained for it, of which the first may be another row's."""

    name: str
    title: str
    folder: str
    stages: tuple[str, ...]
    changes: dict[str, Any]


def rows(beta: float) -> list[Row]:
    """`beta` is ScoreVAE's, and one of the others'."""
    vaes = [
        Row(
            f"beta_vae_{b:g}",
            f"beta-VAE, beta {b:g}",
            f"beta_vae_{b:g}",
            ("encoder",),
            {"method": "beta_vae", "loss.beta": b},
        )
        for b in sorted({*VAE_BETAS, beta})
    ]
    decoders = [
        Row(
            f"diff_decoder_{b:g}",
            f"DiffDecoder, beta {b:g}",
            f"diff_decoder_{b:g}",
            ("encoder",),
            {"method": "diff_decoder", "loss.beta": b},
        )
        for b in (beta, 0.0)
    ]
    plain, plus = {"loss.beta": beta, "stages.correction.steps": 0}, {"loss.beta": beta}
    return [
        *vaes,
        *decoders,
        # One folder: the encoder is trained once, and the correction stands on it.
        Row("score_vae", f"ScoreVAE, beta {beta:g}", "score_vae", ("encoder",), plain),
        Row("score_vae_plus", f"ScoreVAE+, beta {beta:g}", "score_vae", ("encoder", "correction"), plus),
    ]


def base_config(data: str, budget: str, latent: int, seed: int, changes: dict[str, Any]) -> ConfigDict:
    """configs/scorevae_DATA.py, with what all rows share."""
    config = import_module(f"configs.scorevae_{data}").get_config()
    config.update_from_flattened_dict(changes)
    prior = config.stages.prior
    for name in ("prior", "encoder", "correction"):
        stage = config.stages[name]
        stage.steps = (
            BUDGETS[budget] * prior.steps if name == "prior" else BUDGETS[budget] * config.stages.encoder.steps
        )
        for field in ("batch_size", "learning_rate", "checkpoint_every", "log_every"):
            stage[field] = prior[field]
    config.stages.correction.steps = config.stages.encoder.steps
    for net in ("decoder", "correction"):
        for field in ("channels", "multipliers", "blocks", "attention", "dropout"):
            config.model[net][field] = config.model.prior[field]
    config.model.latent_dim, config.seed = latent, seed
    config.eval.evaluators, config.eval.lpips = EVALUATORS, ("alex",)
    return config


def with_changes(config: ConfigDict, changes: dict[str, Any]) -> ConfigDict:
    config = ConfigDict(config.to_dict())
    config.update_from_flattened_dict(changes)
    return config
