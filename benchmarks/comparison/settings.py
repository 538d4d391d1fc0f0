"""The configuration that all rows of a comparison share: of a data set, budget, latent size and seed."""

import re
from typing import Any

from ml_collections import ConfigDict

from sde_vae.build.config import load_config, set_fields
from sde_vae.errors import BadInput

# Factors on the steps of every stage of the data's config.
BUDGETS = {"small": 1, "paper": 10}
# The fields of a network's size. A decoder, an estimator and a correction have those of the prior.
NETWORK = ("channels", "multipliers", "blocks", "attention")
# Added to the data's config for every method. Chosen for ScoreVAE on the validation split; the beta-VAE reads none of them.
FILTERED = {"model.encoder.input": "filtered"}
CHOSEN = {"stages.prior.weight": "simple_velocity", "stages.encoder.weight": "velocity"} | FILTERED
# For training on the evidence bound.
BOUND = {"stages.prior.weight": "likelihood"} | FILTERED
# A sampler and a number of images that two cores can afford.
FAST = {"sampling.solver": "ancestral", "sampling.steps": 19, "eval.n": 500, "eval.samples": 500}
OF_DATA = {"fashion_mnist": FAST, "avatars32": FAST}
# Fields that the comparison sets itself; a command that gives one is refused.
RESERVED = re.compile(
    r"method|seed|model\.latent_dim|model\.decoder\..*|model\.correction\.(channels|multipliers|blocks|attention)|synthetic\..*|"
    r"prior\.checkpoint|stages\.(encoder|correction)\.(steps|batch_size|accumulation|learning_rate|checkpoint_every|log_every)|"
    r"eval\.(evaluators|lpips|split|name)"
)
# Fields of the machine and of what it reports on the way, which do not change what a row is.
OF_MACHINE = re.compile(
    r"parallel|keep_checkpoints|data\.(dir|cache|workers)|prior\.(checkpoint|preset|scheduler)|eval\.(prior|batch_size|lpips_dir|fid_weights)|"
    r"stages\.\w+\.(accumulation|checkpoint_every|log_every|preview_every)"
)


def base_config(data: str, budget: str, changes: dict[str, Any], latent: int | None, seed: int) -> ConfigDict:
    """configs/scorevae_DATA.py with `changes` and what all rows share. With latent None its own latent size. Raises BadInput."""
    try:
        config = load_config(f"scorevae_{data}")
    except BadInput as error:
        raise BadInput(f"--data: got {data!r}, but configs/scorevae_{data}.py is none: {error}") from error
    if taken := next(filter(RESERVED.fullmatch, changes), None):
        raise BadInput(f"--config.{taken}: the comparison sets this itself; see benchmarks/comparison/settings.py")
    config = set_fields(config, changes)
    prior, encoder, correction = (config.stages[stage] for stage in ("prior", "encoder", "correction"))
    prior.steps *= BUDGETS[budget]
    encoder.steps *= BUDGETS[budget]
    correction.steps = encoder.steps
    for field in ("batch_size", "accumulation", "learning_rate", "checkpoint_every", "log_every"):
        encoder[field] = correction[field] = prior[field]
    for net in ("decoder", "correction"):
        for field in NETWORK:
            config.model[net][field] = config.model.prior[field]
    config.model.decoder.dropout = config.model.prior.dropout
    config.seed = seed
    config.model.latent_dim = latent or config.model.latent_dim
    # The table decides which evaluators run.
    config.eval.evaluators, config.eval.lpips = (), ("alex",)
    return config
