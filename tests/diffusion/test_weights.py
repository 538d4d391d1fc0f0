"""Weights: as published, and as each other's in other units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate as quadrature
from scipy import stats

from sde_vae.diffusion import time_samplers, weights
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.scores import velocity_of_noise
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP

SDES = [VP(), CosineVP(), SubVP(), VE(), RectifiedFlow()]
pytestmark = pytest.mark.usefixtures("x64")


def test_simple_under_uniform_t_is_ddpms_loss():
    """Each draw of it is 1/2 (T - t_min) ||eps_hat - eps||^2, no other factor."""
    sde = VP()
    key, index = jax.random.key(0), jnp.arange(100)
    t, dl_dp = time_samplers.times_uniform_in_t(sde, 100)(key, index)
    np.testing.assert_allclose(weights.simple(sde)(sde.log_snr(t)) * dl_dp, sde.T - sde.t_min, rtol=1e-8)


def test_the_beta_weight_is_the_simple_loss_at_times_from_a_beta():
    """Its mean under uniform t is the simple loss's mean under t ~ Beta(4, 1), here of any function of t."""
    sde = VP()
    ratio = jax.jit(lambda t: weights.simple_beta(sde)(sde.log_snr(t)) / weights.simple(sde)(sde.log_snr(t)))
    weighted, _ = quadrature.quad(lambda t: float(ratio(jnp.asarray([t]))[0]) * np.sin(3 * t), 0, 1)
    np.testing.assert_allclose(weighted, stats.beta(4, 1).expect(lambda t: np.sin(3 * t)), rtol=1e-7)


def test_weights_are_the_papers():
    """In their own words: P2 divides the simple weight by (1 + snr), min-SNR multiplies it by min(snr, 5) / snr."""
    sde, l = VP(), jnp.linspace(-9.0, 9.0, 50)
    snr, base = jnp.exp(l), weights.simple(sde)(l)
    np.testing.assert_allclose(weights.p2(sde)(l), base / (1 + snr), rtol=1e-10)
    np.testing.assert_allclose(weights.min_snr(sde)(l), base * jnp.minimum(snr, 5) / snr, rtol=1e-10)
    np.testing.assert_allclose(weights.sigmoid()(l), 1 / (1 + snr), rtol=1e-10)
    np.testing.assert_allclose(weights.likelihood_weighting()(l), 1.0)


def test_pdaes_weight_is_its_lambda_under_uniform_t():
    """lambda_t = (1 / (1 + snr))^0.9 (snr / (1 + snr))^0.1, times the factor that L_simple has; largest at snr = 1/9."""
    sde = VP()
    t, dl_dp = time_samplers.times_uniform_in_t(sde, 100)(jax.random.key(0), jnp.arange(100))
    snr = jnp.square(sde.alpha(t)) / jnp.square(sde.sigma(t))
    expected = (1 / (1 + snr)) ** 0.9 * (snr / (1 + snr)) ** 0.1
    factor = weights.pdae(sde)(sde.log_snr(t)) * dl_dp / (sde.T - sde.t_min)
    np.testing.assert_allclose(factor, expected, rtol=1e-8)
    l = jnp.linspace(-6.0, 6.0, 4001)
    peak = l[jnp.argmax(weights.pdae(sde)(l) / weights.simple(sde)(l))]
    np.testing.assert_allclose(peak, -np.log(9), atol=3e-3)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_weights_on_the_velocity_are_the_others_of_its_error(sde):
    key = jax.random.key(0)
    t = jnp.linspace(0.01, sde.T, 50)
    x, a, b = jax.random.normal(key, (3, 50, 2))
    v = [velocity_of_noise(sde, eps, x, t) for eps in (a, b)]
    l, squares = sde.log_snr(t), lambda d: jnp.sum(d**2, axis=1)
    for weight, base in (
        (weights.velocity(2.0), weights.sigmoid(2.0)),
        (weights.simple_velocity(sde), weights.simple(sde)),
    ):
        np.testing.assert_allclose(weight(l) * squares(a - b), base(l) * squares(v[0] - v[1]), rtol=1e-6)
