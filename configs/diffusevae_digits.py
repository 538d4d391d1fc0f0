"""A beta-VAE on scikit-learn's 8x8 digits, whose images ScoreVAE's prior finishes.

python main.py --config configs/diffusevae_digits.py --mode train
python main.py --config configs/diffusevae_digits.py --mode eval
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("betavae_digits")
    config.method = "diffuse_vae"
    return config
