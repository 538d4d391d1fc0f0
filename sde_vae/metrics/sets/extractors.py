"""What a feature metric needs of a network: images in, one vector per image out.

A distance between features means nothing without the network that made them, so an extractor carries its own fingerprint;
the cache of statistics and every printed figure are keyed by it.
"""

from collections.abc import Callable
from typing import NamedTuple


class Extractor(NamedTuple):
    """A fixed network, its weights closed over.

    features    uint8 images [n, height, width, 1 or 3] -> float32 [n, dim]; jitted, one compilation for each shape
    name        "inception" | "efflite0" | "pixels"
    identity    hex SHA-256 of whatever decides the features: the weights, and the preprocessing where there is a choice
    file        hex SHA-256 of the weight file; empty without one
    verified    True if the weight file is byte for byte the known one
    """

    name: str
    dim: int
    features: Callable
    identity: str
    file: str
    verified: bool
