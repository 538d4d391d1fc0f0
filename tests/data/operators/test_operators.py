"""Operators: adjoints, inverses, and masks that depend on each example alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import keys_of
from sde_vae.data.operators.blur import GaussianBlur
from sde_vae.data.operators.colourisation import ToGrey
from sde_vae.data.operators.edges import SobelEdges
from sde_vae.data.operators.inpainting import HiddenBox, HiddenPixels, HiddenSquare
from sde_vae.data.operators.super_resolution import Downscaling

LINEAR = [HiddenSquare(), HiddenBox(), HiddenPixels(0.4), Downscaling(4), ToGrey(), GaussianBlur(1.5)]
SHAPE = (8, 12, 3)
each = pytest.mark.parametrize("operator", [*LINEAR, SobelEdges()], ids=lambda o: type(o).__name__)
linear = pytest.mark.parametrize("operator", LINEAR, ids=lambda o: type(o).__name__)


def images(n=5, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, *SHAPE)))


def keys(index):
    return keys_of(jax.random.key(3), jnp.asarray(index))


@linear
def test_the_adjoint_is_the_transpose(x64, operator):
    x = images()
    mask = operator.draw(keys(range(5)), x)
    y = operator.forward(x, mask)
    other = jnp.asarray(np.random.default_rng(1).normal(size=y.shape))
    left = jnp.sum(y * other, axis=(1, 2, 3))
    np.testing.assert_allclose(left, jnp.sum(x * operator.adjoint(other, mask), axis=(1, 2, 3)), rtol=1e-12)
    # And the operator is linear.
    np.testing.assert_allclose(
        operator.forward(2 * x + images(seed=2), mask), 2 * y + operator.forward(images(seed=2), mask), atol=1e-12
    )


@linear
def test_solve_inverts_the_covariance_of_y(x64, operator):
    x, a, b = images(), jnp.linspace(0.0, 2.0, 5), jnp.linspace(0.1, 3.0, 5)
    mask = operator.draw(keys(range(5)), x)
    y = operator.forward(x, mask)
    solved = operator.solve(y, a, b)
    back = (
        a[:, None, None, None] * operator.forward(operator.adjoint(solved, mask), mask)
        + b[:, None, None, None] * solved
    )
    np.testing.assert_allclose(back, y, atol=1e-12)


@each
def test_y_comes_to_the_size_of_x_and_back(operator):
    x = images()
    y = operator.forward(x, operator.draw(keys(range(5)), x))
    up = operator.up(y)
    assert up.shape[:3] == x.shape[:3]
    np.testing.assert_allclose(operator.down(up), y, rtol=1e-6)


@each
def test_an_example_does_not_depend_on_the_others(operator):
    x, index = images(), np.array([7, 3, 11, 0, 5])
    mask = operator.draw(keys(index), x)
    y = operator.forward(x, mask)
    one = operator.forward(x[2:3], operator.draw(keys(index[2:3]), x[2:3]))
    np.testing.assert_allclose(one, y[2:3], rtol=1e-5, atol=1e-6)
    if mask is not None:
        assert mask.shape == (5, 8, 12, 1)
        assert len(np.unique(np.asarray(mask).reshape(5, -1), axis=0)) > 1


def test_the_hidden_part_has_the_size_that_is_said():
    x, many = jnp.zeros((200, 16, 16, 1)), keys(range(200))
    hidden = lambda operator: 1 - np.asarray(operator.draw(many, x)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(hidden(HiddenSquare(0.25)), 0.25)
    assert abs(hidden(HiddenPixels(0.4)).mean() - 0.4) < 4 * np.sqrt(0.24 / (200 * 256))
    box = hidden(HiddenBox())
    assert box.min() >= 1 / 16
    assert box.max() <= 9 / 16
    # A square is anywhere: its first row and column take every place.
    rows, columns = (np.asarray(HiddenSquare(0.25).draw(many, x))[..., 0].min(axis=a).argmin(axis=1) for a in (2, 1))
    assert set(rows) == set(columns) == set(range(9))


def test_edges_are_where_the_image_changes():
    x = jnp.where(jnp.arange(12)[None, None, :, None] < 6, -1.0, 1.0) * jnp.ones((1, 8, 1, 1))
    edges = np.asarray(SobelEdges().forward(x))[0, :, :, 0]
    drawn = np.full((8, 12), -1.0)
    drawn[:, 5:7] = 1
    np.testing.assert_array_equal(edges, drawn)


def test_the_blur_keeps_the_mean_and_spreads_a_point_by_its_width(x64):
    point = jnp.zeros((1, 33, 33, 1)).at[0, 16, 16, 0].set(1.0)
    spread = np.asarray(GaussianBlur(2.0).forward(point))[0, :, :, 0]
    place = np.arange(33) - 16
    np.testing.assert_allclose(spread.sum(), 1, rtol=1e-9)
    np.testing.assert_allclose((spread.sum(axis=0) * place**2).sum(), 4.0, rtol=1e-3)
