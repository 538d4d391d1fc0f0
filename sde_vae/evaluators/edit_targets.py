"""Which values of which attributes images are edited to."""

from typing import NamedTuple

import numpy as np

from sde_vae.evaluators.context import Attributes
from sde_vae.evaluators.latent_factors import are_classes


class Target(NamedTuple):
    """Column `column` of the attributes, and the value it is given."""

    column: int
    value: int


def class_columns(attributes: Attributes) -> list[int]:
    """Return the columns that are classes of the training images."""
    return [k for k, column in enumerate(attributes.train.T) if are_classes(column)]


def choose_targets(attributes: Attributes, targets: int) -> list[Target]:
    """Return the values nearest to being that of half of the training images: one an attribute, more where attributes are few.

    They depend on the data alone, so that all methods are given the same ones. Of two values as near, the larger comes first: 1 before 0.
    """
    ranked = []
    for k in class_columns(attributes):
        values, counts = np.unique(attributes.train[:, k], return_counts=True)
        # In whole images: shares of one half, from above and below, would differ by their rounding.
        unbalanced = np.abs(2 * counts - len(attributes.train))
        order = np.lexsort((-values, unbalanced))
        ranked += [(turn, int(unbalanced[i]), k, int(values[i])) for turn, i in enumerate(order)]
        if len(values) == 2:
            ranked.pop()  # the opposite edit
    return [Target(k, value) for _, _, k, value in sorted(ranked)[:targets]]
