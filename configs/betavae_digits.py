"""beta-VAE on scikit-learn's 8x8 digits, with the encoder of scorevae_digits.py.

    python main.py --config configs/betavae_digits.py --mode train
    python main.py --config configs/betavae_digits.py --mode eval

p(x_0 | z) has variance 1, as squared-error losses imply: beta is then to be read as in arXiv:2304.12141.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_digits")
    config.method = "beta_vae"
    # All but the inversion, which needs a score.
    config.eval.evaluators = load_config("default").eval.evaluators
    return config
