"""ScoreVAE: its loss, the gradient through the double differentiation, and what frozen means."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import keys_of, normal
from sde_vae.diffusion import time_samplers, weights
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP
from sde_vae.methods.posteriors import noisy_input
from sde_vae.methods.prior import precondition, predicts_noise, prior
from sde_vae.methods.score_vae import score_vae
from sde_vae.types import Batch
from tests.helpers.small import SDE, awake, image_batch, image_methods, image_posterior, tanh_network


def plane_methods(sde, n, beta=0.3):
    times, weight = time_samplers.times_uniform_in_log_snr(sde, n), weights.sigmoid()
    encoder = tanh_network(2, 2, head=lambda y: DiagGaussian(y[:, :1], jnp.tanh(y[:, 1:])))
    p = prior(sde, tanh_network(2, 2), predicts_noise, times, weight)
    return p, score_vae(sde, p, noisy_input(sde, encoder), times, weight, kl_penalty(beta)), encoder, weight


def test_the_gradient_in_phi_is_that_of_finite_differences(x64):
    n = 32
    p, method, _, _ = plane_methods(VP(t_min=1e-2), n)
    frozen, params = {"prior": p.init(jax.random.key(0))}, method.init(jax.random.key(1))
    batch = Batch(jax.random.normal(jax.random.key(2), (n, 2)), jnp.arange(n))
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    loss = jax.jit(lambda v: method.loss(unravel(v), frozen, jax.random.key(3), batch)[0])
    gradient = jax.grad(loss)(flat)
    h = 1e-5
    numeric = [(loss(flat.at[i].add(h)) - loss(flat.at[i].add(-h))) / (2 * h) for i in range(len(flat))]
    np.testing.assert_allclose(gradient, np.asarray(numeric), rtol=1e-6, atol=1e-8)


def test_the_loss_is_its_formula(x64):
    """Written out once more, from the definition in noise units: eps_hat = eps_theta - sigma grad_x log q(z|x_t)."""
    for sde in (VP(), VE(), RectifiedFlow()):
        n, beta = 16, 0.3
        p, method, encoder, weight = plane_methods(sde, n, beta)
        frozen, params = {"prior": p.init(jax.random.key(0))}, method.init(jax.random.key(1))
        batch = Batch(jax.random.normal(jax.random.key(2), (n, 2)), jnp.arange(n))
        total, metrics = method.loss(params, frozen, jax.random.key(3), batch)

        key_z, key = jax.random.split(jax.random.key(3))
        key_t, key_eps = jax.random.split(key)
        q = precondition(sde, encoder, params, batch.x, jnp.zeros(n))
        z = q.mean + jnp.exp(q.log_var / 2) * normal(keys_of(key_z, batch.index), q.mean)
        t, dl_dp = time_samplers.times_uniform_in_log_snr(sde, n)(key_t, batch.index)
        a, s = sde.alpha(t)[:, None], sde.sigma(t)[:, None]
        eps = normal(keys_of(key_eps, batch.index), batch.x)
        x_t = a * batch.x + s * eps

        def log_q(x, t, z, sde=sde, params=params, encoder=encoder):
            q = precondition(sde, encoder, params, x[None], t[None])
            mean, log_var = q.mean[0], q.log_var[0]
            return jnp.sum(-0.5 * (z - mean) ** 2 / jnp.exp(log_var) - 0.5 * log_var)

        eps_theta = tanh_network(2, 2).apply(frozen["prior"], x_t / jnp.sqrt(a**2 + s**2), sde.log_snr(t))
        eps_hat = eps_theta - s * jax.vmap(jax.grad(log_q))(x_t, t, z)
        diffusion = jnp.mean(0.5 * weight(sde.log_snr(t)) * dl_dp * jnp.sum((eps_hat - eps) ** 2, axis=1))
        kl = jnp.mean(0.5 * jnp.sum(q.mean**2 + jnp.exp(q.log_var) - 1 - q.log_var, axis=1))
        np.testing.assert_allclose(metrics["loss/diffusion"], diffusion, rtol=1e-10)
        np.testing.assert_allclose(metrics["loss/kl"], kl, rtol=1e-10)
        np.testing.assert_allclose(total, diffusion + beta * kl, rtol=1e-10)


def test_the_frozen_prior_gets_exactly_zero_gradient():
    p, method = image_methods()
    frozen, params = {"prior": awake(p.init(jax.random.key(0)))}, awake(method.init(jax.random.key(1)))
    of = lambda params, frozen: method.loss(params, frozen, jax.random.key(2), image_batch())[0]
    to_encoder, to_prior = jax.jit(jax.grad(of, argnums=(0, 1)))(params, frozen)
    assert all(np.all(np.asarray(g) == 0) for g in jax.tree.leaves(to_prior))
    assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(to_encoder))


def test_the_frozen_prior_has_its_dropout_off():
    """A prior with a dropout of 0.9 and one without are the same prior to ScoreVAE, and differ while they train."""
    (p, method), (p_dropout, method_dropout) = image_methods(), image_methods(dropout=0.9)
    frozen, params = {"prior": awake(p.init(jax.random.key(0)))}, method.init(jax.random.key(1))
    args = (jax.random.key(2), image_batch())
    assert method.loss(params, frozen, *args)[0] == method_dropout.loss(params, frozen, *args)[0]
    assert not np.isclose(
        p.loss(frozen["prior"], {}, *args)[0], p_dropout.loss(frozen["prior"], {}, *args)[0], rtol=1e-3
    )
    x, t = image_batch().x, jnp.full(16, 0.5)
    np.testing.assert_array_equal(
        p.unconditional(frozen["prior"], {})(x, t), p_dropout.unconditional(frozen["prior"], {})(x, t)
    )


def test_z_is_encoded_at_time_zero():
    (_, method), posterior = image_methods(), image_posterior()
    params, x = awake(method.init(jax.random.key(1))), image_batch().x
    q = method.encode(params, {}, x)
    assert q.mean.shape == (16, 3)
    np.testing.assert_array_equal(q.mean, posterior.noisy(params, {}, x, jnp.zeros(16)).mean)
    assert not np.allclose(q.mean, posterior.noisy(params, {}, x, jnp.full(16, 0.5)).mean, atol=1e-3)


def test_guidance_applies_when_decoding_and_not_in_training():
    p, plain = image_methods()
    times, weight = time_samplers.times_uniform_in_log_snr(SDE, 16), weights.likelihood_weighting()
    guided = score_vae(SDE, p, image_posterior(), times, weight, kl_penalty(0.01), guidance=2.0)
    frozen, params = {"prior": awake(p.init(jax.random.key(0)))}, plain.init(jax.random.key(1))
    args = (params, frozen, jax.random.key(2), image_batch())
    assert plain.loss(*args)[0] == guided.loss(*args)[0]
    x, t, z = image_batch().x, jnp.full(16, 0.5), jnp.ones((16, 3))
    at = [
        p.unconditional(frozen["prior"], {})(x, t),
        plain.score(params, frozen, z)(x, t),
        guided.score(params, frozen, z)(x, t),
    ]
    np.testing.assert_allclose(at[2] - at[0], 2 * (at[1] - at[0]), rtol=1e-3, atol=1e-5)
