"""ScoreVAE on the avatars at 64x64, for an accelerator. The faces are drawn, not photographed.

pip install -e ".[avatars,metrics]"
python main.py --config configs/scorevae_avatars64.py --mode train
python main.py --config configs/scorevae_avatars64.py --mode eval
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_avatars32")
    config.data.image_size = 64
    config.model.latent_dim = 64
    for net in (config.model.prior, config.model.encoder):
        net.channels = 64
        net.multipliers = (1, 2, 2, 4)
        net.blocks = 2
    config.model.prior.attention = (16,)
    for stage in (config.stages.prior, config.stages.encoder):
        stage.steps = 50_000
        stage.checkpoint_every = 2500
        stage.log_every = 100
        stage.learning_rate = 2e-4
    for stage in config.stages.values():
        stage.warmup = 1000
    config.optim.ema_decay = 0.9999
    config.eval.n = 2000
    config.eval.samples = 10_000
    return config
