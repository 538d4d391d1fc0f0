"""The handwritten digits of scikit-learn: 1,797 images of 8x8 with 17 grey levels, which are part of that package.

They are the UCI test set of optical digits (Alpaydin & Kaynak 1998).
"""

import numpy as np

from sde_vae.data.dataset import DataOptions, Dataset, make_splits

HELD_OUT = 360


def digits(options: DataOptions) -> Dataset:
    """Return the splits train (1,077), test (360) and valid (360). The attribute is the digit."""
    del options
    # Imported late: most data sets do not need scikit-learn.
    from sklearn.datasets import load_digits

    data = load_digits()
    images, digit = data.images.astype(np.uint8)[..., None], data.target.astype(np.int32)[:, None]
    return Dataset("digits", make_splits(images, digit, HELD_OUT, HELD_OUT), levels=17, attributes=("digit",))
