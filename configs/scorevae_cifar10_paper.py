"""ScoreVAE+ on CIFAR-10 as the authors of arXiv:2304.12141 trained it, field by field. It is untried here; our own way is
scorevae_cifar10.py, whose commands it has.

From their repository, GBATZOLIS/conditional_score_diffusion, configs/scoreVAE/paper/pretrained/cifar10: cifar10_prior.py,
VAE/ResNetEncoder.py, and corrected_encoder_only_VAE.py, whose correction is as large as the prior and has batches of 32. Its own encoder is
a smaller one, of plain convolutions; which of the two the paper's table is of is not said, and this config has the first.
scorevae_celeba64_paper.py says where the other fields are from, what has no field here, and that the numbers of steps are ours.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_celeba64_paper")
    config.data.name = "cifar10"
    config.data.image_size = 32
    config.data.crop = 0
    config.model.latent_dim = 384
    for net in (config.model.prior, config.model.encoder, config.model.correction):
        net.multipliers = (1, 2, 2, 2)
        net.blocks = 4
        net.dropout = 0.1
    for stage in (config.stages.prior, config.stages.encoder, config.stages.correction):
        stage.learning_rate = 2e-4
    config.stages.encoder.warmup = config.stages.correction.warmup = 2500
    config.stages.correction.batch_size = 32
    return config
