"""CMDE on CelebA, from 20x20 to 160x160, as arXiv:2111.13606 has it. It is untried here.

    python main.py --config configs/cmde_celeba160_super_resolution.py --mode train --config.data.dir=DIR
    python main.py --config configs/cmde_celeba160_super_resolution.py --mode eval
    python main.py --workdir runs/cmde_celeba160_super_resolution --mode restore --input SMALL

It differs from cmde_celeba128_inpainting.py, which names what is the authors', by their file super_resolution/celebA_ours_NDV_160.py: the
sizes, sigma_max of y, the batch. They diffuse y at the size of x, to which they upscale it. Here y is diffused at its own size. Their 64
noisy copies of a pixel have a mean with an eighth of the noise, so that at equal times their network sees y better than this one. With
--config.y_sde.sigma_max=0.0625 the noise is theirs at t = T, and above it before.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("cmde_celeba128_inpainting")
    config.task.name = "super_resolution"
    config.task.factor = 8
    config.data.image_size = 160
    config.sde.sigma_max = (160 * 160 * 3) ** 0.5
    config.y_sde.sigma_max = 0.5
    config.model.decoder.attention = (20, 10, 5)
    config.stages.encoder.batch_size = 16
    return config
