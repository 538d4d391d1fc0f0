"""ScoreVAE on scikit-learn's 8x8 digits with a lifted encoder, which decodes by any function of z: see docs/high_noise.md.

python main.py --config configs/scorevae_lifted_digits.py --mode train
python main.py --config configs/scorevae_lifted_digits.py --mode eval
"""

from ml_collections import ConfigDict

from configs import scorevae_digits


def get_config() -> ConfigDict:
    config = scorevae_digits.get_config()
    config.model.encoder.statistics = 64
    config.model.encoder.sees = "filtered"
    config.loss.weight = "velocity"
    return config
