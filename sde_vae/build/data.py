"""config.data -> a loader of the data set."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ml_collections import ConfigDict

from sde_vae.data.dataset import DataOptions, Dataset, height_and_width
from sde_vae.data.datasets.load import load
from sde_vae.data.io.decode import FILTERS
from sde_vae.errors import choose


def build_loader(config: ConfigDict) -> Callable[[], Dataset]:
    """Return a function that reads the data set; it raises BadInput for data that is missing or damaged."""
    return partial(load, config.data.name, data_options(config))


def image_shape(config: ConfigDict) -> tuple[int, int, int]:
    """Return the shape (H, W, C) of the config's images."""
    return (*height_and_width(config.data.image_size), config.data.channels)


def data_options(config: ConfigDict) -> DataOptions:
    """Return the section config.data, as loaders take it."""
    choose("config.data.filter", config.data.filter, FILTERS)
    return DataOptions(
        dir=Path(config.data.dir).expanduser() if config.data.dir else None,
        image_size=config.data.image_size,
        channels=config.data.channels,
        crop=config.data.crop,
        filter=config.data.filter,
        skip_corrupt=config.data.skip_corrupt,
        cache=Path(config.data.cache).expanduser(),
        fit=config.data.fit,
        background=config.data.background,
        to_grey=config.data.to_grey,
        follow_links=config.data.follow_links,
    )
