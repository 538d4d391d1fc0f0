"""The control for information in z: every image with the z of another one."""

import numpy as np

from sde_vae.keys import generator


def shuffled_order(n: int, seed: int) -> np.ndarray:
    """Return a permutation of n >= 2 places that leaves none in its place, [n]: one random cycle through all of them.

    >>> order = shuffled_order(5, seed=0)
    >>> sorted(order.tolist()), bool((order == np.arange(5)).any())
    ([0, 1, 2, 3, 4], False)
    """
    order = generator(seed, "shuffle").permutation(n)
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    return other


def shuffled_images(images: np.ndarray, seed: int) -> np.ndarray:
    """Return the images [n, ...] in `shuffled_order`; n is at least 2.

    >>> x = np.arange(5)
    >>> bool((shuffled_images(x, seed=0) == x).any())
    False
    """
    return images[shuffled_order(len(images), seed)]
