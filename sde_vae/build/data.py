"""config.data -> a loader of the data set."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ml_collections import ConfigDict

from sde_vae.build.fields import ARRAYS, PAIRS
from sde_vae.data.dataset import DataOptions, Dataset, Images, height_and_width
from sde_vae.data.datasets.load import load
from sde_vae.data.io.decode import FILTERS
from sde_vae.errors import BadInput, choose

RANKS = (1, 2, 3)
LARGEST = 2**24


def build_loader(config: ConfigDict) -> Callable[[], Dataset]:
    """Return a function that reads the data set; it raises BadInput for data that is missing or damaged."""
    return partial(load, config.data.name, data_options(config))


def evaluated_split(config: ConfigDict, data: Dataset) -> Images:
    """Return the images of the split that is evaluated. Raises BadInput if the data has none of this name."""
    name = config.eval.split
    if name not in data.splits:
        raise BadInput(
            f"config.eval.split: got {name!r}, but {data.name} has only {', '.join(data.splits)}; take one of these"
        )
    return data.splits[name].images


def data_shape(config: ConfigDict) -> tuple[int, ...]:
    """Return the shape of an example: (H, W, C) of images, config.data.shape of arrays. Raises BadInput if that is not set."""
    if config.data.name != ARRAYS:
        return (*height_and_width(config.data.image_size), config.data.channels)
    shape = config.data.shape
    if len(shape) not in RANKS or math.prod(shape) > LARGEST:
        raise BadInput(
            f"config.data.shape: got {shape}, expected the shape of one example of at most {LARGEST} numbers: (d,) of vectors, "
            "(length, channels) of time series, or (height, width, channels)"
        )
    return shape


def example_shape(config: ConfigDict) -> tuple[int, ...]:
    """Return the shape of an example as the data set has it: (H, W, C + k) of pairs, that of `data_shape` of other data."""
    *sides, channels = data_shape(config)
    return (*sides, channels + data_options(config).y_channels)


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
        shape=config.data.shape,
        y_channels=(config.task.y_channels or config.data.channels) if config.data.name == PAIRS else 0,
        swap=config.data.name == PAIRS and config.task.swap,
    )
