"""DiffDecoder on scikit-learn's 8x8 digits: a conditional U-Net of the prior's size, trained together with its encoder.

    python main.py --config configs/diffdecoder_digits.py --mode train
    python main.py --config configs/diffdecoder_digits.py --mode eval

--config.loss.beta=0 makes it deterministic; --config.loss.latent_dropout=0.1 allows a config.sampling.guidance other than 1.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_digits")
    config.method = "diff_decoder"
    config.stages.encoder.learning_rate = 2e-3
    return config
