"""ScoreVAE on CIFAR-10, the best way that we know, as scorevae_celeba64.py has it. It is untried on CIFAR-10: that of the paper is
scorevae_cifar10_paper.py.

    pip install -e ".[metrics]"
    python main.py --config configs/scorevae_cifar10.py --mode train --config.data.dir=DIR
    python main.py --config configs/scorevae_cifar10.py --mode eval  --config.data.dir=DIR \\
        --config.eval.extractor=fid --config.eval.fid_weights=pt_inception-2015-12-05-6726825d.pth

DIR holds the authors' cifar-10-python.tar.gz or cifar-10-batches-py. For data of tensorflow-datasets in array_record form, install the
extra tfds too and add --config.data.name=tfds:cifar10. DDPM's networks for CIFAR-10
(arXiv:2006.11239, appendix B), for one or more accelerators.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_celeba64")
    config.data.name = "cifar10"
    config.data.image_size = 32
    config.data.crop = 0
    config.model.latent_dim = 256
    for net in (config.model.prior, config.model.encoder):
        net.multipliers = (1, 2, 2, 2)
    config.model.encoder.num_statistics = 256
    return config
