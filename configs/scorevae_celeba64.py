"""ScoreVAE on CelebA at 64x64: the set-up of arXiv:2304.12141 (section 5 and its appendix).

    python main.py --config configs/scorevae_celeba64.py --mode train --config.data.dir=DIR
    python main.py --config configs/scorevae_celeba64.py --mode eval  --config.data.dir=DIR \\
        --config.eval.extractor=fid --config.eval.fid_weights=pt_inception-2015-12-05-6726825d.pth

DIR holds CelebA's three files. Without the FID's weights, leave out the last two fields: the distance is then fd_efflite0.
DDPM's U-Net with 128 channels as the prior, half a U-Net as the encoder, 512 latents, beta 0.01. It is sized for one or more
accelerators.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("default")
    config.data.name = "celeba"
    config.data.image_size = 64
    config.data.channels = 3
    config.data.crop = 140
    config.sde.t_min = 1e-5
    config.model.latent_dim = 512
    for net in (config.model.prior, config.model.encoder):
        net.channels = 128
        net.multipliers = (1, 1, 2, 2, 3)
        net.blocks = 2
        net.attention = (16,)
    config.model.prior.dropout = 0.1
    config.stages.prior.steps = 500_000
    config.stages.encoder.steps = 200_000
    for stage in (config.stages.prior, config.stages.encoder):
        stage.batch_size = 128
        stage.checkpoint_every = 5000
    config.sampling.steps = 1000
    config.eval.n = 10_000
    config.eval.samples = 50_000
    return config
