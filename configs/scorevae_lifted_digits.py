"""ScoreVAE on scikit-learn's 8x8 digits with a lifted encoder, which decodes by more than a quadratic in z, on a prior that is right at
high noise too: see docs/high_noise.md.

    python main.py --config configs/scorevae_lifted_digits.py --mode train
    python main.py --config configs/scorevae_lifted_digits.py --mode eval

Expect reconstruction/l2 0.596 and mse 0.0060 on the test split: it is seed 0 of the row `ScoreVAE, lifted` with 16 latents of
benchmarks/results/compare_digits.md.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_digits")
    config.stages.prior.weight = "simple_velocity"
    config.model.encoder.num_statistics = 64
    config.model.encoder.input = "filtered"
    config.stages.encoder.weight = "velocity"
    config.stages.encoder.learning_rate = 2e-3
    return config
