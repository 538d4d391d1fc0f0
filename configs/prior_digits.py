"""A diffusion model of scikit-learn's 8x8 digits alone: the prior of scorevae_digits, evaluated without a latent.

    python main.py --config configs/prior_digits.py --mode train
    python main.py --config configs/prior_digits.py --mode eval

--config.prior.checkpoint=PATH takes a pre-trained model of 8x8 images instead (docs/pretrained.md); there is nothing to train then.
--config.model.prior.body=unet2d trains the network of diffusers' UNet2DModel, which --mode export writes as its folder.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_digits")
    config.method = "prior"
    config.eval.evaluators = ("samples", "bits_per_dim")
    return config
