"""Sums over pixels, group normalisation and dense layers of images: against JAX's and flax's, with gradients of gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.nets import pixels
from sde_vae.nets.layers import Dense
from sde_vae.nets.norm import GroupNorm, moments

X = jax.random.normal(jax.random.key(0), (3, 6, 4, 12)) + 1.0
U = jax.random.normal(jax.random.key(1), X.shape)
V, W, S = (jax.random.normal(jax.random.key(2 + i), (3, 12)) for i in range(3))
of_channels = lambda v: v[:, None, None, :]


def derivatives(f, *inputs):
    """The outputs of f, the gradient of a function of them in every input, and the gradient of a function of that gradient."""
    every = tuple(range(len(inputs)))
    first = jax.grad(lambda *a: sum(jnp.sum(jnp.sin(y)) for y in jax.tree.leaves(f(*a))), argnums=every)
    second = jax.grad(lambda *a: sum(jnp.sum(jnp.tanh(d)) for d in jax.tree.leaves(first(*a))), argnums=every)
    return jax.jit(lambda *a: (f(*a), first(*a), second(*a)))(*inputs)


def assert_same(own, reference, *inputs):
    found, expected = derivatives(own, *inputs), derivatives(reference, *inputs)
    scale = lambda a: 1e-5 * (1 + np.abs(a).max())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=scale(b)), found, expected)


# Operation -> (the same in plain JAX, its inputs).
OPERATIONS = {
    pixels.pixel_sums: (lambda x: jnp.sum(x, axis=(1, 2)), (X,)),
    pixels.pixel_sums_of_two: (lambda x, y: (jnp.sum(x, axis=(1, 2)), jnp.sum(y, axis=(1, 2))), (X, U)),
    pixels.add_bias: (lambda x, b: x + b[None, None, None, :], (X, V[0])),
    pixels.affine: (
        lambda x, c, a, b: (x - of_channels(c)) * of_channels(a) + of_channels(b),
        (X, V, W, S),
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda f: f.__name__)
def test_an_operation_and_its_gradients_are_those_of_plain_jax(operation):
    plain, inputs = OPERATIONS[operation]
    assert_same(operation, plain, *inputs)


def test_values_at_every_pixel_too():
    assert_same(lambda v, x: x * pixels.to_pixels(v, (6, 4)), lambda v, x: x * of_channels(v), V, X)


def test_the_forms_for_a_cpu_are_the_plain_sums():
    plain = pixels._plain(X), pixels._plain(U)
    np.testing.assert_allclose(pixels._as_product(X), plain[0], rtol=1e-5)
    for own, expected in zip(pixels._in_one_pass(X, U), plain, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-5)


def test_sums_of_bfloat16_are_added_in_float32():
    ones = jnp.ones((1, 40, 40, 1), jnp.bfloat16)
    for total in (pixels.pixel_sums(ones), *pixels.pixel_sums_of_two(ones, ones)):
        assert total.dtype == jnp.bfloat16
        # A sum in bfloat16 stays at 256: the next number there is 258.
        assert float(total[0, 0]) == 1600


@pytest.mark.parametrize("groups", [1, 3, 12])
def test_group_norm_is_flaxs(groups):
    own, flaxs = GroupNorm(groups), nn.GroupNorm(groups)
    params = {"params": {"scale": V[0], "bias": W[0]}}
    assert jax.tree.map(jnp.shape, own.init(jax.random.key(0), X)) == jax.tree.map(jnp.shape, params)
    assert_same(own.apply, flaxs.apply, params, X)


def test_the_variance_far_from_zero_keeps_its_digits():
    far = X + 3000.0
    near = np.asarray(X, np.float64).reshape(3, 24, 4, 3).transpose(0, 2, 1, 3).reshape(3, 4, -1)
    _, variance = moments(far, 4)
    # float32 rounds the pixels themselves to 1.2e-4 there. The difference of two moments would be wrong by 1.
    np.testing.assert_allclose(variance[:, ::3], near.var(axis=-1), rtol=1e-3)


def test_a_channel_without_variance_is_normalised_to_its_bias():
    y = GroupNorm(12).apply({"params": {"scale": V[0], "bias": W[0]}}, jnp.full_like(X, 7.0))
    np.testing.assert_allclose(y, jnp.broadcast_to(W[0][None, None, None], X.shape), atol=1e-6)


def test_a_dense_layer_of_images_is_flaxs():
    own, flaxs = Dense(5), nn.Dense(5)
    params = flaxs.init(jax.random.key(0), X)
    assert jax.tree.map(jnp.shape, own.init(jax.random.key(0), X)) == jax.tree.map(jnp.shape, params)
    assert_same(own.apply, flaxs.apply, params, X)
    np.testing.assert_allclose(own.apply(params, V), flaxs.apply(params, V), rtol=1e-6)
