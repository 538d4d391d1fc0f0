"""scikit-learn's handwritten digits: 1,797 images of 8x8 with 17 grey levels, inside the package itself.

From the UCI test set of optical digits (Alpaydin & Kaynak 1998). The images are shuffled once, by a fixed seed, and the last
fifth is held out.
"""

import numpy as np
from sklearn.datasets import load_digits

from sde_vae.data.dataset import Dataset

HELD_OUT = 360


def digits() -> Dataset:
    """Splits train (1,437) and test (360)."""
    images = load_digits().images.astype(np.uint8)[..., None]
    images = images[np.random.default_rng(0).permutation(len(images))]
    return Dataset("digits", {"train": images[:-HELD_OUT], "test": images[-HELD_OUT:]}, levels=17)
