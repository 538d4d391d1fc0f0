"""ScoreVAE on float arrays [n, H, W, C], such as the latents of another autoencoder, with a U-Net prior.

By default 4x4 arrays of 4 channels, the 2x2 blocks of scikit-learn's digits, a stand-in that this line writes to a file:

    python -c "from sklearn.datasets import load_digits as d; import os, numpy as np; os.makedirs('runs', exist_ok=True); x = d().images.reshape(-1, 4, 2, 4, 2); np.save('runs/latents.npy', x.transpose(0, 1, 3, 2, 4).reshape(-1, 4, 4, 4).astype('f4'))"
    python main.py --config configs/scorevae_latents.py --mode train
    python main.py --config configs/scorevae_latents.py --mode eval

Of your own, config.data.dir is a .npy or .npz [n, H, W, C], channels last, of any number of channels, and config.data.shape its H, W, C:
--config.data.dir=latents.npy --config.data.shape=32,32,4. Each channel is standardised. What --mode sample and reconstruct write has the
units of that file: the autoencoder decodes it.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_digits")
    config.data.name = "arrays"
    config.data.dir = "runs/latents.npy"
    config.data.shape = (4, 4, 4)
    config.eval.evaluators = ("reconstruction", "moments", "sliced_wasserstein", "nll_bound", "latents")
    return config
