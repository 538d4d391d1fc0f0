"""Data sets: named splits of uint8 images or of standardised arrays, with or without attributes."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from sde_vae.data.scaling import Standardisation
from sde_vae.errors import BadInput


@runtime_checkable
class Images(Protocol):
    """A sequence of examples of one shape with random access: an array [n, *shape], or examples on disk.

    Images are uint8 [H, W, C]. Arrays that are no images are float32, on the scale of the model.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> np.ndarray: ...


class Split(NamedTuple):
    """Images, and their attributes [n, len(Dataset.attributes)] or None."""

    images: Images
    attributes: np.ndarray | None = None


class Dataset(NamedTuple):
    """A data set.

    name         for messages and for the keys of caches
    splits       "train", and those of "valid" and "test" that the data has
    levels       the number of grey levels: pixel values are 0 .. levels - 1; 0 for arrays that are no images
    attributes   the names of the columns of the splits' attributes
    skipped      a line for each image that was left out as unreadable
    notes        a line for each kind of what was left out or converted otherwise, with a count
    values       attribute -> the names of its values 0, 1, ..., where they have names
    render       render({attribute: value}, size) -> uint8 image, where images can be drawn from their attributes
    scaling      the standardisation of arrays that are no images; None for images
    """

    name: str
    splits: dict[str, Split]
    levels: int = 256
    attributes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    render: Callable[[dict[str, int], int], np.ndarray] | None = None
    scaling: Standardisation | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an example, (H, W, C) of images."""
        return np.shape(next(iter(self.splits.values())).images[0])

    def split(self, name: str) -> Split:
        """Return a split. Raises BadInput, which lists the splits, if there is none of this name."""
        if name not in self.splits:
            raise BadInput(f"split: {self.name} has no {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]


class DataOptions(NamedTuple):
    """The options of a loader, a function loader(options) -> Dataset. A loader ignores the options that do not apply.

    dir            the folder of the user's files, or None
    image_size     height and width in pixels: one number, or a pair where they differ
    channels       1 for grey, 3 for colour, 4 for colour and alpha
    crop           longer side of the centre crop before the resize, which has the shape of the images; 0 for none
    filter         Pillow's name of the filter of the resize, which is antialiased
    skip_corrupt   leave unreadable images out, instead of an error
    cache          the folder of decoded images
    fit            how a picture of another shape than the images is fitted: cover, contain or none (see data/io/fit.py)
    background     the colour under transparent pixels and around padded pictures, one number or one a channel; or None
    to_grey        convert colour to grey where channels is 1, instead of an error
    follow_links   read what links that lead out of the folder point to, instead of an error
    shape          the shape of an example of `arrays`, in place of image_size and channels
    y_channels     the channels of y, which examples of `pairs` hold after those of x; 0 of other data
    swap           x is the first picture of a pair, instead of the second
    """

    dir: Path | None
    image_size: int | tuple[int, int]
    channels: int
    crop: int
    filter: str
    skip_corrupt: bool
    cache: Path
    fit: str = "cover"
    background: tuple[int, ...] | None = None
    to_grey: bool = False
    follow_links: bool = False
    shape: tuple[int, ...] = ()
    y_channels: int = 0
    swap: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """The height and the width."""
        return height_and_width(self.image_size)


def height_and_width(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Return (height, width) of one number, which is both, or of a pair.

    >>> height_and_width(8), height_and_width((8, 12))
    ((8, 8), (8, 12))
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width


def make_splits(images: np.ndarray, attributes: np.ndarray | None, valid: int, test: int) -> dict[str, Split]:
    """Split data without official splits into train, valid and test. The shuffle is the same on every machine."""
    order = np.random.default_rng(0).permutation(len(images))
    train = len(images) - valid - test
    parts = dict(zip(("train", "test", "valid"), np.split(order, [train, train + test]), strict=True))
    return {n: Split(images[i], None if attributes is None else attributes[i]) for n, i in parts.items()}


def take(images: Images, index: np.ndarray) -> np.ndarray:
    """Return images[index] as one array [len(index), H, W, C]."""
    if isinstance(images, np.ndarray):
        return images[index]
    several = getattr(images, "__getitems__", lambda index: [images[i] for i in index])
    return np.stack(several([int(i) for i in index]))


def evenly_spaced(images: Images, most: int) -> np.ndarray:
    """Return all images, or at most `most` of them evenly spaced, as one array."""
    return take(images, evenly_spaced_index(len(images), most))


def evenly_spaced_index(n: int, most: int) -> np.ndarray:
    """Return the places of the images that `evenly_spaced` takes from n.

    >>> evenly_spaced_index(10, most=4).tolist()
    [0, 3, 6, 9]
    """
    return np.unique(np.linspace(0, n - 1, min(most, n)).round().astype(int))


def fingerprint(images: Images) -> str:
    """Return a SHA-256 of all images in their order. Images on disk have it as their `identity`."""
    if isinstance(images, np.ndarray):
        return hashlib.sha256(f"{images.shape}".encode() + np.ascontiguousarray(images).tobytes()).hexdigest()
    identity = getattr(images, "identity", None)
    if identity is None:
        raise TypeError(f"expected an array or images with an identity, got {type(images).__name__}")
    return identity


def to_model(images: np.ndarray, levels: int) -> np.ndarray:
    """Convert uint8 images with so many levels to float32 on [-1, 1]. Arrays without levels (0) are on the model's scale already.

    >>> to_model(np.array([0, 8, 16], np.uint8), levels=17).tolist()
    [-1.0, 0.0, 1.0]
    """
    if levels == 0:
        return images.astype(np.float32, copy=False)
    return images.astype(np.float32) * np.float32(2 / (levels - 1)) - np.float32(1)


def to_levels(x: np.ndarray, levels: int) -> np.ndarray:
    """Convert images on [-1, 1] to uint8, the nearest levels: the inverse of `to_model`.

    >>> to_levels(np.array([-1.2, 0.01, 1.0]), levels=17).tolist()
    [0, 8, 16]
    """
    return np.round(to_unit(x) * (levels - 1)).astype(np.uint8)


def to_unit(x: np.ndarray) -> np.ndarray:
    """Convert images on [-1, 1] to float32 on [0, 1], clipped, as metrics and figures take them.

    >>> to_unit(np.array([-1.2, 0.0, 1.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.clip((np.asarray(x, np.float32) + 1) / 2, 0, 1)


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Round images on [0, 1] to uint8, as they would be saved."""
    return np.round(images * 255).astype(np.uint8)
