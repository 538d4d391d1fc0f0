"""A beta-VAE on scikit-learn's 8x8 digits, whose images ScoreVAE's prior finishes.

python main.py --config configs/diffusevae_digits.py --mode train
python main.py --config configs/diffusevae_digits.py --mode eval
"""

from ml_collections import ConfigDict

from configs import betavae_digits


def get_config() -> ConfigDict:
    config = betavae_digits.get_config()
    config.method = "diffuse_vae"
    return config
