"""Images and their fingerprints, whatever data set they are of."""

import numpy as np

from sde_vae.data.dataset import fingerprint, to_levels, to_model, to_unit


def test_scaling_round_trip_is_exact_on_the_levels():
    for levels in (17, 256):
        images = np.arange(levels, dtype=np.uint8).reshape(-1, 1, 1, 1)
        x = to_model(images, levels)
        assert (x.min(), x.max()) == (-1, 1)
        np.testing.assert_array_equal(np.round(to_unit(x) * (levels - 1)), images)
        np.testing.assert_array_equal(to_levels(x, levels), images)
        # What a solver leaves a little off the levels, or outside of them.
        np.testing.assert_array_equal(to_levels(1.02 * x, levels)[[0, -1]], images[[0, -1]])


def test_fingerprints_tell_order_and_number_apart():
    images = np.random.default_rng(0).integers(0, 256, (9, 2, 2, 1), dtype=np.uint8)
    assert len({fingerprint(images), fingerprint(images[:8]), fingerprint(images[::-1])}) == 3
