"""ScoreVAE on CIFAR-10 with DDPM's networks for it (arXiv:2006.11239, appendix B), for one or more accelerators.

    pip install -e ".[tfds,metrics]"
    python main.py --config configs/scorevae_cifar10.py --mode train --config.data.dir=DIR
    python main.py --config configs/scorevae_cifar10.py --mode eval  --config.data.dir=DIR \\
        --config.eval.extractor=fid --config.eval.fid_weights=pt_inception-2015-12-05-6726825d.pth

DIR holds cifar10 as tensorflow-datasets prepares it in array_record form; without it the first command says how to make it.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    config = default.get_config()
    config.data.name = "tfds:cifar10"
    config.data.image_size = 32
    config.data.channels = 3
    config.sde.t_min = 1e-5
    config.model.latent_dim = 256
    for net in (config.model.prior, config.model.encoder):
        net.channels = 128
        net.multipliers = (1, 2, 2, 2)
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
