"""What all rows of the comparison share: the config of a data set, budget, latent size and seed."""

from importlib import import_module
from typing import Any

from ml_collections import ConfigDict

from sde_vae.errors import BadInput

# Steps of every stage, in those of the data's config.
BUDGETS = {"small": 1, "paper": 10}
NETWORK = ("channels", "multipliers", "blocks", "attention")
# Of every method, beside the data's config: what was chosen on `valid` (docs/high_noise.md) for ScoreVAE, of which the beta-VAE reads nothing.
CHOSEN = {"prior.weight": "simple_velocity", "loss.weight": "velocity", "model.encoder.sees": "filtered"}
# On the bound itself.
OF_BOUNDS = {"prior.weight": "likelihood", "model.encoder.sees": "filtered"}
# What two cores can decode.
FAST = {"sampling.solver": "ancestral", "sampling.steps": 19, "eval.n": 500, "eval.samples": 500}
OF_DATA = {"fashion_mnist": FAST, "avatars32": FAST}
# What the comparison decides itself.
DECIDED = (
    "method",
    "seed",
    "model.latent_dim",
    "model.decoder.",
    "draws.",
    *(f"model.correction.{field}" for field in NETWORK),
    "prior.checkpoint",
    "stages.encoder.",
    "stages.correction.",
    "eval.evaluators",
    "eval.lpips",
    "eval.split",
)


def base_config(data: str, budget: str, changes: dict[str, Any], latent: int | None, seed: int) -> ConfigDict:
    """configs/scorevae_DATA.py, with what all rows share; latent None: as many as it says. Raises BadInput."""
    try:
        config = import_module(f"configs.scorevae_{data}").get_config()
    except ModuleNotFoundError as error:
        # A module that the config itself wants is no wrong --data.
        if not str(error.name).startswith("configs.scorevae_"):
            raise
        raise BadInput(f"--data: got {data!r}, but there is no configs/scorevae_{data}.py") from error
    if taken := [name for name in changes if name.startswith(DECIDED)]:
        raise BadInput(f"--config.{taken[0]}: the comparison decides this itself; see benchmarks/compare_config.py")
    config = with_changes(config, changes)
    prior, encoder, correction = (config.stages[stage] for stage in ("prior", "encoder", "correction"))
    prior.steps *= BUDGETS[budget]
    encoder.steps *= BUDGETS[budget]
    correction.steps = encoder.steps
    for field in ("batch_size", "learning_rate", "checkpoint_every", "log_every"):
        encoder[field] = correction[field] = prior[field]
    for net in ("decoder", "correction"):
        for field in NETWORK:
            config.model[net][field] = config.model.prior[field]
    config.model.decoder.dropout = config.model.prior.dropout
    config.seed = seed
    if latent is not None:
        config.model.latent_dim = latent
    # Which evaluators, a table says.
    config.eval.evaluators, config.eval.lpips = (), ("alex",)
    return config


def with_changes(config: ConfigDict, changes: dict[str, Any]) -> ConfigDict:
    # Locked: a field that there is not would be added.
    config = ConfigDict(config.to_dict()).lock()
    try:
        config.update_from_flattened_dict(changes)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"--config: {' '.join(str(error).split())}; configs/default.py has all fields") from error
    return config
