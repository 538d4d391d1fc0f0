"""Networks: shapes, types, and the convolution with its own gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import keys_of
from sde_vae.nets.conv import conv
from sde_vae.nets.encoder import Encoder, HalfUNet
from sde_vae.nets.layers import Dropout, ResBlock, double, embed_log_snr, halve
from sde_vae.nets.mlp import MLP
from sde_vae.nets.network import network
from sde_vae.nets.unet import UNet
from tests.helpers.rarely import rarely
from tests.helpers.small import awake


def lax_conv(x, w):
    return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 3)])
def test_conv_and_its_first_and_second_gradients_are_laxs(kernel):
    k1, k2, k3 = jax.random.split(jax.random.key(0), 3)
    x, w = jax.random.normal(k1, (2, 6, 5, 3)), jax.random.normal(k2, (*kernel, 3, 4))
    u = jax.random.normal(k3, x.shape)

    def first(f):
        return jax.grad(lambda x, w: jnp.sum(jnp.sin(f(x, w))), argnums=(0, 1))

    def second(f):
        # The gradient of a function of the gradient: what training ScoreVAE takes.
        return jax.grad(lambda x, w: jnp.sum(u * jnp.tanh(first(f)(x, w)[0])), argnums=(0, 1))

    for operation in (lambda f: (f(x, w),), lambda f: first(f)(x, w), lambda f: second(f)(x, w)):
        for own, reference in zip(operation(conv), operation(lax_conv), strict=True):
            np.testing.assert_allclose(own, reference, rtol=2e-4, atol=2e-4)


def test_halve_and_double():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_allclose(halve(x)[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_allclose(halve(double(x)), x)
    assert double(x)[0, 2, 3, 0] == x[0, 1, 1, 0]


def test_the_embedding_tells_levels_apart_and_stays_finite():
    l = jnp.array([-jnp.inf, -10.0, 0.0, 0.1, 13.0, jnp.inf])
    e = embed_log_snr(l, 32)
    assert np.all(np.isfinite(e))
    assert len(np.unique(np.round(np.asarray(e), 4), axis=0)) == 6


@pytest.mark.parametrize("dtype", [jnp.float32, *rarely(jnp.bfloat16)])
def test_unet(dtype):
    net = network(UNet(8, (1, 2, 2), 1, attention=(4,), dtype=dtype), (8, 8, 3))
    apply = jax.jit(net.apply)
    params = jax.jit(net.init)(jax.random.key(0))
    assert {a.dtype for a in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    x, l = jax.random.normal(jax.random.key(1), (2, 8, 8, 3)), jnp.array([-1.0, 5.0])
    out = apply(params, x, l)
    assert out.shape == x.shape
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out, 0.0)

    # Away from its zero start it depends on x and on the level, and examples do not mix.
    params = awake(params, 0.2)
    out = apply(params, x, l)
    assert not np.allclose(out, apply(params, x, l + 3), rtol=1e-2, atol=1e-3)
    one = apply(params, x[1:], l[1:])
    tolerance = 1e-5 if dtype == jnp.float32 else 3e-2
    np.testing.assert_allclose(one, out[1:], rtol=tolerance, atol=tolerance)


def test_dropout_follows_its_keys_and_only_them():
    net = network(UNet(8, (1,), 1, dropout=0.5), (4, 4, 1))
    params = jax.tree.map(lambda a: a + 0.05, net.init(jax.random.key(0)))
    x, l = jax.random.normal(jax.random.key(1), (4, 4, 4, 1)), jnp.zeros(4)
    keys = keys_of(jax.random.key(2), jnp.arange(4))
    dropped, other = net.apply(params, x, l, keys), net.apply(params, x, l, keys[::-1])
    assert not np.allclose(dropped, other)
    np.testing.assert_allclose(net.apply(params, x[2:], l[2:], keys[2:]), dropped[2:], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(net.apply(params, x, l), net.apply(params, x, l, None))


def test_the_encoders_dropout_too():
    """Without keys a rate of 0.5 is none; with them each example has a mask of its own, wherever it stands in a batch."""
    never, often = (network(Encoder(HalfUNet(8, (1, 2), 1, dropout=rate), 3), (4, 4, 1)) for rate in (0.0, 0.5))
    params = jax.tree.map(lambda a: a + 0.05, never.init(jax.random.key(0)))
    x, l = jax.random.normal(jax.random.key(1), (4, 4, 4, 1)), jnp.zeros(4)
    keys = keys_of(jax.random.key(2), jnp.arange(4))
    dropped, plain = often.apply(params, x, l, keys).mean, often.apply(params, x, l).mean
    np.testing.assert_array_equal(plain, never.apply(params, x, l, keys).mean)
    assert not np.any(np.isclose(dropped, plain, rtol=1e-3))
    np.testing.assert_allclose(often.apply(params, x[2:], l[2:], keys[2:]).mean, dropped[2:], rtol=1e-5, atol=1e-6)
    same = jnp.broadcast_to(x[:1], x.shape)
    assert len(np.unique(np.asarray(often.apply(params, same, l, keys).mean), axis=0)) == 4


@pytest.mark.parametrize(
    ("body", "shape"),
    [(HalfUNet(8, (1, 2), 1, attention=(4,)), (8, 8, 1)), (MLP(32, 16, 1, zero=False), (2,))],
    ids=["half_unet", "mlp"],
)
def test_encoder(body, shape):
    net = network(Encoder(body, latent=5, log_var_bound=3.0), shape)
    params = net.init(jax.random.key(0))
    x = 100 * jax.random.normal(jax.random.key(1), (4, *shape))
    q = net.apply(jax.tree.map(lambda a: 10 * a, params), x, jnp.zeros(4))
    assert q.mean.shape == q.log_var.shape == (4, 5)
    assert np.abs(q.log_var).max() <= 3.0
    assert np.abs(net.apply(params, x, jnp.zeros(4)).mean).max() > 0


def test_the_encoder_computes_in_float32():
    """Whatever the prior computes in: no bfloat16 anywhere in the encoder's gradient."""
    net = network(Encoder(HalfUNet(8, (1, 2), 1), latent=5), (8, 8, 1))
    params = net.init(jax.random.key(0))
    gradient = jax.make_jaxpr(jax.grad(lambda x: net.apply(params, x, jnp.zeros(2)).log_prob(jnp.ones((2, 5))).sum()))
    assert "bf16" not in str(gradient(jnp.zeros((2, 8, 8, 1))))


def test_dropout_keeps_the_mean():
    """What is kept is divided by 1 - rate, entry by entry; so through a block, whose last convolution is linear, the mean is what it is without."""
    rate, n = 0.4, 2000
    keys = keys_of(jax.random.key(2), jnp.arange(n))
    dropped = Dropout(rate).apply({}, jnp.ones((n, 4, 4, 1)), keys)
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / (1 - rate)], rtol=1e-6)
    assert abs(float(jnp.mean(dropped == 0)) - rate) < 4 * np.sqrt(rate * (1 - rate) / dropped.size)

    block = ResBlock(4, rate, jnp.float32)
    x = jnp.broadcast_to(jax.random.normal(jax.random.key(1), (1, 2, 2, 4)), (n, 2, 2, 4))
    params = awake(block.init(jax.random.key(0), x[:1], None, None), 0.3)
    run = jax.jit(lambda x, *keys: block.apply(params, x, None, *(keys or [None])))
    with_masks, plain = np.asarray(run(x, keys), np.float64), np.asarray(run(x[:1]))[0]
    error = with_masks.std(0) / np.sqrt(n)
    assert np.all((error > 1e-3) & (error < 0.05))
    assert np.all(np.abs(with_masks.mean(0) - plain) < 5 * error)
