"""CMDE on CelebA at 128x128, a quarter of the area hidden by a square, as arXiv:2111.13606 has it. It is untried here.

    python main.py --config configs/cmde_celeba128_inpainting.py --mode train --config.data.dir=DIR
    python main.py --config configs/cmde_celeba128_inpainting.py --mode eval
    python main.py --workdir runs/cmde_celeba128_inpainting --mode restore --input DAMAGED --mask HOLES

DIR holds CelebA, see docs/data.md. The paper's other estimators are --config.method=cde, cdiffe and vs_cmde. From the authors' repository,
GBATZOLIS/MSDiff, configs/ve/inverse_problems/inpainting/celebA_ours_NDV.py, are the SDEs, the widths, attention and dropout of the network,
the optimiser, the batch (25 on each of 4 GPUs), the steps, the weight and the sampler. What differs: their network is an NCSN++ (FIR
resampling, skips of the image) and ours DDPM's U-Net; they flip images at random and split another CelebA, celebA-HQ-160, of an unknown crop.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("default")
    config.seed = 42
    config.method = "cmde"
    config.task.name = "inpainting"
    config.task.share = 0.25
    config.data.name = "celeba"
    config.data.image_size = 128
    config.data.channels = 3
    config.data.crop = 178
    config.sde.name = "ve"
    config.sde.t_min = 1e-5
    config.sde.sigma_min = 5e-3
    # The square root of the number of dimensions of x.
    config.sde.sigma_max = (128 * 128 * 3) ** 0.5
    config.y_sde.sigma_max = 1.0
    # Products in the device's default precision, TF32 on a GPU and bfloat16 on a TPU (docs/speed.md).
    config.model.precision = "default"
    net = config.model.decoder
    net.channels = 96
    net.multipliers = (1, 1, 2, 2, 3, 3)
    net.blocks = 2
    net.attention = (16, 8, 4)
    net.dropout = 0.1
    config.optim.ema_decay = 0.999
    stage = config.stages.encoder
    stage.times = "uniform_t"
    stage.weight = "likelihood"
    stage.steps = 500_000
    stage.batch_size = 100
    stage.learning_rate = 2e-4
    stage.warmup = 2500
    stage.checkpoint_every = 5000
    config.sampling.solver = "predictor_corrector"
    config.sampling.steps = 1000
    config.sampling.snr = 0.15
    config.eval.n = 1000
    config.eval.evaluators = ("restoration",)
    return config
