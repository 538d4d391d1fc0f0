"""ScoreVAE+ on scikit-learn's 8x8 digits: ScoreVAE of scorevae_digits.py, and a correction as large as the prior.

    python main.py --config configs/scorevae_plus_digits.py --mode train
    python main.py --config configs/scorevae_plus_digits.py --mode eval

With --config.model.correction.body=head the correction is one block of convolutions on the frozen prior's features.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_digits")
    stage = config.stages.correction
    stage.steps = 2000
    stage.checkpoint_every = 500
    stage.log_every = 20
    stage.learning_rate = 2e-3
    return config
