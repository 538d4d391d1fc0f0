"""Pixels as features: means over areas, and what Frechet's distance makes of them."""

import numpy as np
import pytest

from sde_vae.errors import BadInput
from sde_vae.metrics.sets.frechet import frechet_distance, moments
from sde_vae.metrics.sets.pixels import SIDE, load_pixels

# Of a mean of values on [0, 1], in float32.
ROUNDING = 1e-6


def images(n, height, width, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, channels), dtype=np.uint8)


def features(x):
    return np.asarray(load_pixels(x.shape[3]).features(x))


@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_are_their_own_features(channels):
    x = images(5, SIDE, SIDE, channels)
    found = features(x)
    assert found.dtype == np.float32
    assert found.shape == (5, load_pixels(channels).dim)
    np.testing.assert_allclose(found, x.reshape(5, -1) / 255, atol=ROUNDING)


def test_whole_blocks_of_larger_images_are_averaged():
    x = images(4, 2 * SIDE, 3 * SIDE)
    blocks = x.reshape(4, SIDE, 2, SIDE, 3).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(features(x), blocks.reshape(4, -1), atol=ROUNDING)


def test_parts_of_pixels_count_by_their_area():
    # A common refinement makes whole blocks of them: each pixel of 28 is cut into 2, so that an eighth has 7.
    x = images(4, 28, 28)
    finer = x.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(features(x), features(finer), atol=ROUNDING)
    blocks = finer.reshape(4, SIDE, 7, SIDE, 7).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(features(x), blocks.reshape(4, -1), atol=ROUNDING)


def test_the_mean_of_an_image_is_kept():
    x = images(6, 28, 33, 3)
    means = features(x).reshape(6, -1, 3).mean(axis=1)
    np.testing.assert_allclose(means, x.mean(axis=(1, 2)) / 255, atol=ROUNDING)


def test_the_distance_of_a_set_to_its_brighter_copy_is_the_squared_l2_between_them():
    x = images(100, SIDE, SIDE) // 2
    distance = frechet_distance(moments(features(x)), moments(features(x + 51)))
    assert distance == pytest.approx(SIDE * SIDE * 0.2**2, rel=1e-5)


def test_the_identity_tells_channels_apart():
    assert load_pixels().identity == load_pixels().identity
    assert load_pixels().identity != load_pixels(3).identity
    assert load_pixels().verified


@pytest.mark.parametrize(
    "wrong", [images(2, 8, 8, 3), images(2, 7, 8), images(2, 8, 8)[0], images(2, 8, 8).astype(np.float32)]
)
def test_other_images_are_refused(wrong):
    with pytest.raises(BadInput, match="expected uint8"):
        load_pixels().features(wrong)
