"""Latent diffusion where the aggregate posterior is known: x_0 ~ N(0, I), q(z | x_0) = N(A x_0 + B, S^2 I), so z ~ N(B, (A^2 + S^2) I)."""

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.data.dataset import Dataset, Split
from sde_vae.diffusion import time_samplers, weights
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.sdes import VP
from sde_vae.inference.aggregate_posterior import moments_of_codes
from sde_vae.methods.latent_prior import Moments, latent_prior
from sde_vae.methods.method import Method
from sde_vae.methods.prior import predicts_noise, prior
from sde_vae.nets.network import Network
from sde_vae.types import Batch

SDE, N, LATENT = VP(), 4096, 3
A, B, S = 1.5, 2.0, 0.8
BELOW, TRAINED = {"unread": jnp.ones(2)}, {"a": jnp.float32(A), "log_var": jnp.float32(2 * np.log(S))}
# Of half the true width, so that the loss shows which moments it was given.
MOMENTS = Moments(jnp.full(LATENT, B), jnp.full(LATENT, 0.5))
V = (A**2 + S**2) / 0.5**2
FROZEN = {"prior": BELOW, "encoder": TRAINED, "moments": MOMENTS}


def encode(params, frozen, x):
    return DiagGaussian(params["a"] * x + B, jnp.full_like(x, params["log_var"]))


def of_variance(log_v, x, log_snr, keys=None):
    """eps_hat of a Gaussian of that variance, exact."""
    a2, s2 = jax.nn.sigmoid(log_snr)[:, None], jax.nn.sigmoid(-log_snr)[:, None]
    return jnp.sqrt(s2) * x / (a2 * jnp.exp(log_v) + s2)


def method():
    codes = prior(
        SDE,
        Network(lambda key: jnp.float32(0.0), of_variance),
        predicts_noise,
        time_samplers.times_uniform_in_log_snr(SDE, N),
        weights.sigmoid(2.0),
    )
    return latent_prior(codes, Method(lambda key: TRAINED, None, encode), "encoder")


def batch(seed=0):
    x = jax.random.normal(jax.random.key(seed), (N, LATENT))
    return Batch(x, jnp.arange(N, dtype=jnp.int32))


def test_its_loss_is_least_at_the_aggregate_posterior():
    """Of 64 batches the mean derivative by the log-variance is 0 there, and not a fifth above or below it."""
    slope = jax.jit(jax.grad(lambda log_v, key, b: method().loss(log_v, FROZEN, key, b)[0]))

    def z_score(v):
        found = [slope(jnp.log(v), jax.random.key(100 + i), batch(i)) for i in range(64)]
        return np.mean(found) / (np.std(found, ddof=1) / 8)

    assert abs(z_score(V)) < 4
    assert z_score(0.8 * V) < -10
    assert z_score(1.2 * V) > 10


def test_the_frozen_parameters_get_no_gradient():
    gradient = jax.grad(lambda frozen: method().loss(jnp.float32(0.3), frozen, jax.random.key(0), batch())[0])
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient(FROZEN)))


def test_the_scale_of_the_codes_does_not_change_the_loss():
    """Codes ten times as wide, and elsewhere, give the same loss with moments to match."""
    wider = {"a": 10 * TRAINED["a"], "log_var": TRAINED["log_var"] + 2 * np.log(10)}
    moments = Moments(jnp.full(LATENT, B), 10 * MOMENTS.std)
    loss = jax.jit(lambda frozen: method().loss(jnp.float32(0.3), frozen, jax.random.key(0), batch())[0])
    np.testing.assert_allclose(loss(FROZEN | {"encoder": wider, "moments": moments}), loss(FROZEN), rtol=1e-5)
    assert loss(FROZEN | {"encoder": wider}) > 2 * loss(FROZEN)


def test_the_moments_that_a_run_gives_it_are_those_of_the_codes_of_its_training_images():
    """Images of two grey levels, as often the one as the other: the mean of q(z) is between their codes, its variance their spread and S^2."""
    levels = np.array([64, 192], np.uint8)
    train = Split(np.broadcast_to(levels[np.arange(50) % 2][:, None, None, None], (50, 1, LATENT, 1)))
    flat = lambda params, x: encode(params, {}, x.reshape(len(x), -1))
    moments = moments_of_codes(flat, TRAINED, 16, Dataset("two", {"train": train}))
    x = levels / 127.5 - 1
    np.testing.assert_allclose(moments.mean, np.full(LATENT, A * x.mean() + B), rtol=1e-5)
    np.testing.assert_allclose(moments.std, np.full(LATENT, np.sqrt((A * x.std()) ** 2 + S**2)), rtol=1e-5)
    assert moments.mean.dtype == moments.std.dtype == jnp.float32


def test_its_score_is_of_standardised_codes():
    u, t = jax.random.normal(jax.random.key(1), (5, LATENT)), jnp.linspace(0.1, 0.9, 5)
    score = method().unconditional(jnp.float32(np.log(V)), {})(u, t)
    a, s = SDE.alpha(t)[:, None], SDE.sigma(t)[:, None]
    np.testing.assert_allclose(score, -u / (a**2 * V + s**2), rtol=1e-4)
