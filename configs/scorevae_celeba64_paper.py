"""ScoreVAE+ on CelebA at 64x64 as the authors of arXiv:2304.12141 trained it, field by field. It is untried here; our own way is
scorevae_celeba64.py, whose commands it has.

From their repository, GBATZOLIS/conditional_score_diffusion, configs/scoreVAE/paper/pretrained/celebA_64: celebA_64_prior.py,
VAE/ResNetEncoder.py and VAE/CorrectedResNetEncoder.py have everything but the following. losses.py has the weights, the times uniform in t
and log q without its log-variance; the class that trains the encoder has t from 1e-3, and samples with all 1000 steps.
They differ in what has no field here: another split (80, 10, 10) of CelebA, named celebA-HQ-160, of an unknown crop; a Fourier embedding of
t; an encoder of unbounded log-variance; a correction in units of the score, without a gate, trained with g^2 (so is its weight here).
How many steps they trained is not in these files: the numbers here are ours.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("default")
    config.seed = 42
    config.data.name = "celeba"
    config.data.image_size = 64
    config.data.channels = 3
    config.data.crop = 140
    config.model.latent_dim = 512
    # Products in the device's default precision, TF32 on a GPU and bfloat16 on a TPU; the encoder keeps float32 (docs/speed.md).
    config.model.precision = "default"
    for net in (config.model.prior, config.model.encoder, config.model.correction):
        net.channels = 128
        net.multipliers = (1, 1, 2, 2, 3)
        net.blocks = 2
        net.attention = (16,)
    config.loss.log_density = "quadratic"
    config.stages.encoder.times = config.stages.correction.times = "uniform_t"
    config.stages.correction.weight = "likelihood"
    config.stages.prior.steps = 500_000
    config.stages.encoder.steps = config.stages.correction.steps = 200_000
    for stage in (config.stages.prior, config.stages.encoder, config.stages.correction):
        stage.batch_size = 256
        stage.learning_rate = 1e-4
        stage.checkpoint_every = 5000
    config.sampling.steps = 1000
    config.eval.n = 10_000
    config.eval.samples = 50_000
    return config
