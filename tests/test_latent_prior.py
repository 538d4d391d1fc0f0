"""Latent diffusion where the aggregate posterior is known: x_0 ~ N(0, I), q(z | x_0) = N(A x_0, S^2 I), so z ~ N(0, (A^2 + S^2) I)."""

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae import losses
from sde_vae.gaussians import DiagGaussian
from sde_vae.method import Method
from sde_vae.methods.latent_prior import latent_prior
from sde_vae.methods.prior import predicts_noise, prior
from sde_vae.nets.network import Network
from sde_vae.sdes import VP
from sde_vae.types import Batch

SDE, N, LATENT = VP(), 4096, 3
A, S = 1.5, 0.8
V = A**2 + S**2
BELOW, TRAINED = {"unread": jnp.ones(2)}, {"a": jnp.float32(A)}


def encode(params, frozen, x):
    return DiagGaussian(params["a"] * x, jnp.full_like(x, 2 * np.log(S)))


def of_variance(log_v, x, log_snr, keys=None):
    """eps_hat of a Gaussian of that variance, exact."""
    a2, s2 = jax.nn.sigmoid(log_snr)[:, None], jax.nn.sigmoid(-log_snr)[:, None]
    return jnp.sqrt(s2) * x / (a2 * jnp.exp(log_v) + s2)


def method():
    codes = prior(
        SDE,
        Network(lambda key: jnp.float32(0.0), of_variance),
        predicts_noise,
        losses.uniform_log_snr(SDE, N),
        losses.sigmoid(2.0),
    )
    return latent_prior(codes, Method(lambda key: TRAINED, None, encode, None))


def batch(seed=0):
    x = jax.random.normal(jax.random.key(seed), (N, LATENT))
    return Batch(x, jnp.arange(N, dtype=jnp.int32))


def test_its_loss_is_least_at_the_aggregate_posterior():
    """Of 64 batches the mean derivative by the log-variance is 0 there, and not a fifth above or below it."""
    slope = jax.jit(jax.grad(lambda log_v, key, b: method().loss(log_v, (BELOW, TRAINED), key, b)[0]))

    def z_score(v):
        found = [slope(jnp.log(v), jax.random.key(100 + i), batch(i)) for i in range(64)]
        return np.mean(found) / (np.std(found, ddof=1) / 8)

    assert abs(z_score(V)) < 4
    assert z_score(0.8 * V) < -10
    assert z_score(1.2 * V) > 10


def test_what_it_stands_on_is_not_moved():
    gradient = jax.grad(lambda frozen: method().loss(jnp.float32(0.3), frozen, jax.random.key(0), batch())[0])
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient((BELOW, TRAINED))))


def test_its_score_is_of_codes():
    z, t = jax.random.normal(jax.random.key(1), (5, LATENT)), jnp.linspace(0.1, 0.9, 5)
    score = method().score(jnp.float32(np.log(V)), None, None)(z, t)
    a, s = SDE.alpha(t)[:, None], SDE.sigma(t)[:, None]
    np.testing.assert_allclose(score, -z / (a**2 * V + s**2), rtol=1e-4)
