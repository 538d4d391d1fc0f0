"""The type of a feature extractor, which maps an image to a vector.

A distance between features depends on the network. An extractor therefore has an identity, which is part of the key of the
cached moments and of the results.
"""

from collections.abc import Callable
from typing import NamedTuple


class Extractor(NamedTuple):
    """A fixed network that closes over its weights.

    name        "inception" | "efflite0" | "pixels"
    dim         the number of features
    features    uint8 images [n, height, width, 1 or 3] -> float32 [n, dim], compiled once for each shape
    identity    hex SHA-256 of all that determines the features: the weights, and the preprocessing where there is a choice
    file        hex SHA-256 of the weight file; empty without one
    verified    whether the weight file is the published one, byte for byte
    """

    name: str
    dim: int
    features: Callable
    identity: str
    file: str
    verified: bool
