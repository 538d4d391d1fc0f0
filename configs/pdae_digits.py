"""PDAE on scikit-learn's 8x8 digits: the encoder, and a second up path of the frozen prior's U-Net (arXiv:2212.12990).

    python main.py --config configs/pdae_digits.py --mode train
    python main.py --config configs/pdae_digits.py --mode eval

As in the paper, the encoder is deterministic, the network predicts the shift of the score, and the loss has PDAE's weight.
--config.loss.beta=0.01 makes z Gaussian, as ScoreVAE's; take --config.stages.encoder.weight=velocity then, as PDAE's weight is
a hundred times smaller.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_digits")
    config.method = "pdae"
    config.loss.beta = 0.0
    config.stages.encoder.weight = "pdae"
    config.stages.encoder.learning_rate = 2e-3
    return config
