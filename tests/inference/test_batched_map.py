"""A compiled function over any number of rows."""

import numpy as np
import pytest

from sde_vae.errors import BadInput
from sde_vae.inference.batched_map import batched_map

pytestmark = pytest.mark.usefixtures("one_device")


def test_the_filling_of_the_last_batch_is_cut():
    sizes = []

    def double(x, index):
        sizes.append(len(x))
        return 2 * x + index[:, None]

    x, index = np.arange(14.0).reshape(7, 2), np.arange(7.0)
    np.testing.assert_array_equal(batched_map(double, 3, x, index), 2 * x + index[:, None])
    assert sizes == [3, 3, 3]


def test_fewer_rows_than_a_batch_are_filled_up_to_a_power_of_two():
    """So that calls of any size compile few programs: 1, 2, 4, 8 and the batch size itself."""
    sizes = []

    def double(x):
        sizes.append(len(x))
        return 2 * x

    for n in range(1, 15):
        np.testing.assert_array_equal(batched_map(double, 12, np.arange(n)), 2 * np.arange(n))
    assert sizes == [1, 2, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12, 12, 12, 12, 12]


def test_what_is_not_finite_is_not_passed_on_in_silence():
    """A solver's failure is NaN in the examples that failed; without a label the caller looks for itself."""
    one_fails = lambda x: np.where(x == 3, np.nan, x)
    x = np.arange(5, dtype=np.float32)
    with pytest.raises(BadInput, match="invert: 1 of 5 are not finite"):
        batched_map(one_fails, 2, x, label="invert")
    assert np.isnan(batched_map(one_fails, 2, x)).sum() == 1


def test_each_of_several_devices_has_a_batch(use_devices):
    """As few rows as possible beyond those asked for."""
    use_devices(3)
    sizes = []

    def double(x):
        sizes.append(len(x))
        return 2 * x

    for n in (1, 3, 4, 7, 30):
        np.testing.assert_array_equal(batched_map(double, 4, np.arange(n)), 2 * np.arange(n))
    assert sizes == [3, 3, 6, 12, 12, 12, 12]
