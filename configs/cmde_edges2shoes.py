"""CMDE from drawings of edges to shoes at 64x64 (edges2shoes of arXiv:1611.07004), as arXiv:2111.13606 has it. It is untried here.

    python main.py --config configs/cmde_edges2shoes.py --mode train --config.data.dir=DIR
    python main.py --config configs/cmde_edges2shoes.py --mode eval
    python main.py --workdir runs/cmde_edges2shoes --mode restore --input DRAWINGS

DIR holds the unpacked edges2shoes.tar.gz of pix2pix: train/ and val/, each file with the edges on the left and the shoe on the right. It
differs from cmde_celeba128_inpainting.py, which names what is the authors', by their file
image_to_image_translation/edges2shoes_ours_NDV.py: the data, the network and the batch.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("cmde_celeba128_inpainting")
    config.task.name = "pairs"
    config.data.name = "pairs"
    config.data.image_size = 64
    config.data.crop = 0
    config.sde.sigma_max = (64 * 64 * 3) ** 0.5
    # Products in the device's default precision, TF32 on a GPU and bfloat16 on a TPU (docs/speed.md).
    config.model.precision = "default"
    net = config.model.decoder
    net.channels = 128
    net.multipliers = (1, 1, 2, 2)
    net.attention = (16, 8)
    config.stages.encoder.batch_size = 50
    # pix2pix's 200 pictures of val/; there is no test/.
    config.eval.split = "valid"
    config.eval.n = 200
    return config
