"""The control for what z is worth: every image with the z of another one."""

import numpy as np


def shuffled_images(images: np.ndarray, seed: int) -> np.ndarray:
    """Return the images [n, ...] permuted so that none stays in its place; n is at least 2.

    The permutation is one random cycle through all images.

    >>> x = np.arange(5)
    >>> bool((shuffled_images(x, seed=0) == x).any())
    False
    """
    order = np.random.default_rng(seed).permutation(len(images))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    return images[other]
