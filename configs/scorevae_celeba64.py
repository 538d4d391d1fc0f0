"""ScoreVAE on CelebA at 64x64, the best way that we know. It is untried on CelebA: that of the paper is scorevae_celeba64_paper.py.

    python main.py --config configs/scorevae_celeba64.py --mode train --config.data.dir=DIR
    python main.py --config configs/scorevae_celeba64.py --mode eval  --config.data.dir=DIR \\
        --config.eval.extractor=fid --config.eval.fid_weights=pt_inception-2015-12-05-6726825d.pth

DIR holds CelebA's three files. Without the FID's weights, leave out the last two fields: the distance is then fd_efflite0.
DDPM's U-Net with 128 channels as the prior, half a U-Net as the encoder, 512 latents, beta 0.01, for one or more accelerators.
What was best on digits is taken over: a lifted encoder of the filtered x_t, the weight velocity, a prior of the weight simple_velocity
(docs/high_noise.md), and ancestral steps even in logSNR (docs/solvers.md), 51 evaluations in place of 1001.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_celeba64_paper")
    config.seed = 0
    # Below the 8 bits of the data (docs/metrics.md).
    config.sde.t_min = 1e-5
    config.model.prediction = "velocity"
    config.model.prior.dropout = 0.1
    config.model.encoder.input = "filtered"
    config.model.encoder.num_statistics = 512
    config.loss.log_density = "full"
    config.stages.prior.weight = "simple_velocity"
    config.stages.encoder.weight = "velocity"
    config.stages.encoder.times = "uniform_log_snr"
    config.stages.correction.steps = 0
    for stage in (config.stages.prior, config.stages.encoder):
        stage.batch_size = 128
        stage.learning_rate = 2e-4
    config.sampling.solver = "ancestral"
    config.sampling.grid = "uniform_log_snr"
    config.sampling.steps = 50
    return config
