"""Load a data set by its name."""

from sde_vae.data.dataset import DataOptions, Dataset
from sde_vae.data.datasets.arrays import arrays
from sde_vae.data.datasets.avatars import avatars
from sde_vae.data.datasets.celeba import celeba
from sde_vae.data.datasets.cifar10 import cifar10
from sde_vae.data.datasets.digits import digits
from sde_vae.data.datasets.fashion_mnist import fashion_mnist
from sde_vae.data.datasets.folder import folder
from sde_vae.data.datasets.mnist5k import mnist5k
from sde_vae.data.datasets.pairs import pairs
from sde_vae.data.datasets.tfds import tfds
from sde_vae.errors import BadInput, choose

DATASETS = {
    "digits": digits,
    "mnist5k": mnist5k,
    "fashion_mnist": fashion_mnist,
    "celeba": celeba,
    "cifar10": cifar10,
    "folder": folder,
    "avatars": avatars,
    "arrays": arrays,
    "pairs": pairs,
}
TFDS = "tfds:"  # the prefix of data sets of tensorflow-datasets


def load(name: str, options: DataOptions) -> Dataset:
    """Return the data set `name`.

    Raises BadInput for an unknown name, for data that is missing or damaged, and for images of another shape than configured.
    """
    if name.startswith(TFDS):
        loader = tfds(name.removeprefix(TFDS))
    else:
        loader = choose(f"config.data.name (or {TFDS}NAME)", name, DATASETS)
    data = loader(options)
    # The shape of arrays is checked with their files.
    if data.scaling is None and data.shape != (*options.size, options.channels + options.y_channels):
        raise BadInput(
            f"config.data.image_size, config.data.channels: got {options.image_size}, {options.channels}, but the images of "
            f"{data.name} are {'x'.join(map(str, data.shape))}"
        )
    return data
