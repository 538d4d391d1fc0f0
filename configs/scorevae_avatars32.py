"""ScoreVAE on the avatars at 32x32, small enough for two CPU cores. The faces are drawn, not photographed.

    pip install -e ".[avatars,metrics]"
    python main.py --config configs/scorevae_avatars32.py --mode train
    python main.py --config configs/scorevae_avatars32.py --mode eval

The faces are rendered on first use and cached. A U-Net of 0.69 M
parameters and an encoder of 0.36 M.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    config = default.get_config()
    config.data.name = "avatars"
    config.data.image_size = 32
    config.data.channels = 3
    config.model.prediction = "velocity"
    config.model.latent_dim = 32
    for net in (config.model.prior, config.model.encoder):
        net.channels = 16
        net.multipliers = (1, 2, 4)
    config.model.prior.attention = (8,)
    config.loss.weight = "sigmoid"
    config.optim.ema_decay = 0.999
    config.optim.warmup = 200
    config.optim.decay = "cosine"
    config.stages.prior.steps = 3000
    config.stages.encoder.steps = 1500
    for stage in (config.stages.prior, config.stages.encoder):
        stage.checkpoint_every = 500
        stage.log_every = 20
        stage.learning_rate = 2e-3
    config.sampling.grid = "uniform_log_snr"
    config.sampling.steps = 50
    config.eval.n = config.eval.samples = 500
    return config
