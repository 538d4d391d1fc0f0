"""ScoreVAE on scikit-learn's 8x8 digits: the demo.

    python main.py --config configs/scorevae_digits.py --mode train
    python main.py --config configs/scorevae_digits.py --mode eval
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    config = default.get_config()
    config.model.prediction = "velocity"
    config.loss.weight = "simple"
    config.loss.times = "uniform_t"
    config.optim.ema_decay = 0.999
    config.optim.warmup = 200
    config.optim.decay = "cosine"
    for stage in (config.stages.prior, config.stages.encoder):
        stage.steps = 2000
        stage.checkpoint_every = 500
        stage.log_every = 20
        stage.learning_rate = 1e-3
    return config
