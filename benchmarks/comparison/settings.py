"""The configuration that all rows of a comparison share: of a data set, budget, latent size and seed."""

from typing import Any

from ml_collections import ConfigDict

from sde_vae.build.config import load_config, set_fields
from sde_vae.errors import BadInput

# Factors on the steps of every stage of the data's config.
BUDGETS = {"small": 1, "paper": 10}
NETWORK = ("channels", "multipliers", "blocks", "attention")
# Added to the data's config for every method. Chosen for ScoreVAE on the validation split; the beta-VAE reads none of them.
CHOSEN = {
    "stages.prior.weight": "simple_velocity",
    "stages.encoder.weight": "velocity",
    "model.encoder.input": "filtered",
}
# Settings for training on the evidence bound.
BOUND = {"stages.prior.weight": "likelihood", "model.encoder.input": "filtered"}
# A sampler and a number of images that two cores can afford.
FAST = {"sampling.solver": "ancestral", "sampling.steps": 19, "eval.n": 500, "eval.samples": 500}
OF_DATA = {"fashion_mnist": FAST, "avatars32": FAST}
COPIED = ("batch_size", "learning_rate", "checkpoint_every", "log_every")
# Fields that the comparison sets itself; a command that gives one is refused.
RESERVED = (
    "method",
    "seed",
    "model.latent_dim",
    "model.decoder.",
    "synthetic.",
    *(f"model.correction.{field}" for field in NETWORK),
    "prior.checkpoint",
    *(f"stages.{stage}.{field}" for stage in ("encoder", "correction") for field in ("steps", *COPIED)),
    "eval.evaluators",
    "eval.lpips",
    "eval.split",
    "eval.name",
)
# Fields of the machine, which do not change what a row is.
OF_MACHINE = (
    "parallel",
    "keep_checkpoints",
    "data.dir",
    "data.cache",
    "data.workers",
    "prior.checkpoint",
    "eval.prior",
    "eval.batch_size",
    "eval.lpips_dir",
    "eval.fid_weights",
    *(
        f"stages.{stage}.{field}"
        for stage in ("prior", "encoder", "correction", "latent")
        for field in ("checkpoint_every", "log_every")
    ),
)


def base_config(data: str, budget: str, changes: dict[str, Any], latent: int | None, seed: int) -> ConfigDict:
    """configs/scorevae_DATA.py with `changes` and what all rows share. With latent None its own latent size. Raises BadInput."""
    try:
        config = load_config(f"scorevae_{data}")
    except BadInput as error:
        raise BadInput(f"--data: got {data!r}, but configs/scorevae_{data}.py is none: {error}") from error
    if taken := [name for name in changes if name.startswith(RESERVED)]:
        raise BadInput(f"--config.{taken[0]}: the comparison sets this itself; see benchmarks/comparison/settings.py")
    config = set_fields(config, changes)
    prior, encoder, correction = (config.stages[stage] for stage in ("prior", "encoder", "correction"))
    prior.steps *= BUDGETS[budget]
    encoder.steps *= BUDGETS[budget]
    correction.steps = encoder.steps
    for field in COPIED:
        encoder[field] = correction[field] = prior[field]
    for net in ("decoder", "correction"):
        for field in NETWORK:
            config.model[net][field] = config.model.prior[field]
    config.model.decoder.dropout = config.model.prior.dropout
    config.seed = seed
    if latent is not None:
        config.model.latent_dim = latent
    # The table decides which evaluators run.
    config.eval.evaluators, config.eval.lpips = (), ("alex",)
    return config
