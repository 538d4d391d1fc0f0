"""ScoreVAE on the avatars at 32x32, small enough for two CPU cores. The faces are drawn, not photographed.

    pip install -e ".[avatars,metrics]"
    python main.py --config configs/scorevae_avatars32.py --mode train
    python main.py --config configs/scorevae_avatars32.py --mode eval

The faces are rendered on first use and cached. A U-Net of 0.69 M
parameters and an encoder of 0.36 M.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_fashion_mnist")
    config.data.name = "avatars"
    config.data.image_size = 32
    config.data.channels = 3
    config.model.prior.attention = (8,)
    config.eval.n = config.eval.samples = 500
    return config
