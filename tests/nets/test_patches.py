"""Patches of pixels as channels: where each pixel goes, and what a network of patches is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import keys_of
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.nets.network import Network, network
from sde_vae.nets.patches import (
    depth_shape,
    depth_to_space,
    gives_patches,
    patched,
    space_to_depth,
    takes_patches,
)
from sde_vae.nets.unet import UNet
from tests.helpers.small import awake

SHAPE = (8, 12, 3)
X = jnp.asarray(np.random.default_rng(0).standard_normal((2, *SHAPE)), jnp.float32)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_a_pixel_is_in_the_place_of_its_patch(patch):
    """Place (i, j) has the pixels of rows i p to (i + 1) p - 1 and columns j p to (j + 1) p - 1, row by row, and no others."""
    found = space_to_depth(X, patch)
    assert found.shape == (2, *depth_shape(SHAPE, patch))
    for i, j in ((0, 0), (1, 2)):
        expected = X[:, i * patch : (i + 1) * patch, j * patch : (j + 1) * patch, :]
        np.testing.assert_array_equal(found[:, i, j], expected.reshape(2, -1))
    np.testing.assert_array_equal(depth_to_space(found, patch), X)


def test_moving_an_image_by_a_patch_moves_its_patches_by_one():
    moved = jnp.roll(X, (2, -4), axis=(1, 2))
    np.testing.assert_array_equal(space_to_depth(moved, 2), jnp.roll(space_to_depth(X, 2), (1, -2), axis=(1, 2)))


def test_a_network_on_patches_sees_and_gives_images():
    """Its parameters, and all inputs but the first, are those of the network of patches."""
    inner = network(UNet(8, (1, 2), 1, dropout=0.5), depth_shape(SHAPE, 2), z=(5,))
    outer = patched(inner, 2)
    params = awake(outer.init(jax.random.key(0)), 0.2)
    level, z, keys = jnp.array([-1.0, 5.0]), jnp.ones((2, 5)), keys_of(jax.random.key(1), jnp.arange(2))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, inner.init(jax.random.key(0)))
    found = jax.jit(outer.apply)(params, X, level, keys, z=z)
    expected = jax.jit(inner.apply)(params, space_to_depth(X, 2), level, keys, z=z)
    assert np.std(found) > 0.01
    np.testing.assert_allclose(space_to_depth(found, 2), expected, rtol=1e-5, atol=1e-6)


def test_mean_and_variance_of_a_gaussian_become_images():
    decoder = Network(lambda key: {}, lambda params, z: DiagGaussian(space_to_depth(z, 2), space_to_depth(2 * z, 2)))
    found = gives_patches(decoder, 2).apply({}, X)
    np.testing.assert_array_equal(found.mean, X)
    np.testing.assert_array_equal(found.log_var, 2 * X)


def test_gradients_pass_through_patches():
    """The gradient of a sum of squares is twice the image, whichever order its numbers have."""
    energy = takes_patches(Network(lambda key: {}, lambda params, x: jnp.sum(x**2)), 4)
    np.testing.assert_allclose(jax.grad(lambda x: energy.apply({}, x))(X), 2 * X, rtol=1e-6)


def test_patches_of_one_pixel_are_no_patches():
    net = Network(lambda key: {}, lambda params, x: x)
    assert patched(net, 1) is net
