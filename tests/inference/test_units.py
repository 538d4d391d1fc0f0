"""Arrays of the user's: standardised, given back as they were, and refused in a line that says what came."""

import numpy as np
import pytest

from sde_vae.data.scaling import Standardisation
from sde_vae.errors import BadInput
from sde_vae.inference.units import units_of

UNITS = units_of(Standardisation(np.array([10.0, 0.0]), np.array([2.0, 5.0])))


def test_there_and_back():
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    np.testing.assert_allclose(UNITS.to_user(UNITS.from_user(x, (2,))), x, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        (np.float32(1.0), ()),
        (np.zeros((0, 2)), (2,)),
        (np.zeros((3, 3)), (2,)),
        (np.zeros(2), (2,)),
        (np.zeros((3, 2, 1)), (2,)),
    ],
)
def test_another_shape_and_no_examples_are_refused(x, shape):
    with pytest.raises(BadInput, match=r"z: got an array of shape .*, expected \[n, .*\] with n at least 1"):
        UNITS.from_user(x, shape, "z")


@pytest.mark.parametrize("x", [[[np.nan, 0]], [[np.inf, 0]], [["a", "b"]], [[1j, 0]], [[1e39, 0]]])
def test_what_is_no_finite_number_is_refused(x):
    with pytest.raises(BadInput, match="expected finite real numbers"):
        UNITS.from_user(x, (2,))
