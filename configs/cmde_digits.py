"""CMDE on scikit-learn's 8x8 digits: inpainting of a square of a quarter of the area (arXiv:2111.13606).

    python main.py --config configs/cmde_digits.py --mode train
    python main.py --config configs/cmde_digits.py --mode eval

A U-Net of 0.76 M parameters and 2000 steps: 4 minutes on one CPU core. Expect restoration/psnr 19.7, restoration/energy_score 0.50 and
restoration/fd_pixels 0.052 on the test split, the means of three seeds (benchmarks/results/conditional_digits.md).

Other estimators are --config.method=cde, cdiffe, vs_cmde, and bayes, dps, pigdm on a prior. Other tasks are
--config.task.name=super_resolution and those of docs/conditional.md.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_digits")
    config.method = "cmde"
    # The objective of the digits' prior.
    config.stages.encoder.weight = "simple"
    config.stages.encoder.times = "uniform_t"
    config.stages.encoder.learning_rate = 2e-3
    config.eval.evaluators = ("restoration",)
    return config
