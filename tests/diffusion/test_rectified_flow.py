"""Rectified flow: its ends, its ODE, and the loss of flow matching as one weight of the denoising loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate as quadrature
from scipy import stats

from sde_vae.arrays import keys_of, normal
from sde_vae.bounds.terms import bits_per_dim, prior_kl
from sde_vae.diffusion import scores, weights
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP, diffuse, log_snr_rate
from sde_vae.diffusion.time_samplers import times_uniform_in_t
from sde_vae.methods.prior import predicts_flow, prior
from sde_vae.nets.network import Network
from sde_vae.types import Batch
from tests.helpers.oracles import LinearGaussian

SDES = [VP(), CosineVP(), SubVP(), VE(), RectifiedFlow()]
pytestmark = pytest.mark.usefixtures("x64")


def draws(sde, n=64):
    """(x_0, eps, x_t, t), t from t_min to T."""
    x_0, eps = jax.random.normal(jax.random.key(0), (2, n, 3))
    t = jnp.linspace(sde.t_min, sde.T, n)
    return x_0, eps, diffuse(sde, x_0, t, eps), t


def test_it_interpolates_from_the_data_to_the_noise():
    sde = RectifiedFlow()
    x_0, eps, x, t = draws(sde)
    np.testing.assert_allclose(x, x_0 + t[:, None] * (eps - x_0), rtol=1e-12)
    # In the middle there is as much data as noise, at T e^-5 times as much.
    np.testing.assert_allclose(sde.t_of_log_snr(jnp.zeros(1)), 0.5)
    np.testing.assert_allclose((1 - sde.T) / sde.T, np.exp(-5))
    np.testing.assert_allclose(sde.log_snr(jnp.full(1, sde.T)), -10, rtol=1e-12)


def test_what_it_costs_that_the_path_ends_before_1():
    """KL(p(x_T | x_0) || pi), in bits a dimension of the largest x_0, as the class says."""
    x = jnp.ones((2, 4, 4, 3))
    np.testing.assert_allclose(bits_per_dim(prior_kl(RectifiedFlow(), x), x), 3.3e-5, rtol=0.01)


def test_the_flow_is_the_slope_of_the_probability_flow_ode():
    """dx / dt = f x - g^2 / 2 s (arXiv:2011.13456, eq. 13) is u of the exact score, with no 1 / (1 - t) left in it."""
    sde, world = RectifiedFlow(), LinearGaussian.random(jax.random.key(0))
    x, t = draws(sde)[2:]
    s = world.marginal_score(sde)(x, t)
    slope = sde.f(t)[:, None] * x - 0.5 * jnp.square(sde.g(t))[:, None] * s
    np.testing.assert_allclose(scores.flow_of_noise(sde, scores.noise_of_score(sde, s, t), x, t), slope, atol=1e-10)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_flow_is_the_noise_less_the_image(sde):
    x_0, eps, x, t = draws(sde)
    np.testing.assert_allclose(scores.flow_of_noise(sde, eps, x, t), eps - x_0, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(predicts_flow(sde, eps - x_0, x, t), eps, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_noise_of_a_flow_loses_no_digit(sde):
    """In float32, at every noise level: a few roundings of the terms, of which none is larger than |x_0| + |eps|."""
    x_0, eps, _, t = draws(sde)
    with jax.enable_x64(False):
        single = [jnp.asarray(np.asarray(a), jnp.float32) for a in (x_0, eps, t)]
        x = diffuse(sde, single[0], single[2], single[1])
        found = scores.noise_of_flow(sde, single[1] - single[0], x, single[2])
    assert found.dtype == jnp.float32
    rounding = 8 * np.finfo(np.float32).eps * (np.abs(x_0) + np.abs(eps))
    assert np.all(np.abs(np.asarray(found) - np.asarray(single[1])) < rounding)


def test_the_loss_of_flow_matching_is_the_denoising_loss_of_one_weight():
    """Draw by draw, whatever the network says: 1/2 w |dl/dp| ||eps_hat - eps||^2 is 1/2 (T - t_min) ||u_hat - u||^2."""
    sde, n = RectifiedFlow(), 64
    t, dl_dp = times_uniform_in_t(sde, n)(jax.random.key(1), jnp.arange(n))
    x_0, eps, u_hat = jax.random.normal(jax.random.key(0), (3, n, 3))
    eps_hat = scores.noise_of_flow(sde, u_hat, diffuse(sde, x_0, t, eps), t)
    squares = lambda d: np.sum(np.asarray(d) ** 2, axis=1)
    found = weights.flow()(sde.log_snr(t)) * dl_dp * squares(eps_hat - eps)
    np.testing.assert_allclose(found, (sde.T - sde.t_min) * squares(u_hat - (eps - x_0)), rtol=1e-9)


def test_a_prior_of_flows_has_the_loss_of_flow_matching():
    """The method's own loss, by a network that says 0: the mean of 1/2 (T - t_min) ||eps - x_0||^2 over its own draws."""
    sde, n = RectifiedFlow(), 32
    zero = Network(lambda key: {}, lambda params, x, log_snr, keys: 0 * x)
    method = prior(sde, zero, predicts_flow, times_uniform_in_t(sde, n), weights.flow())
    batch, key = Batch(jax.random.normal(jax.random.key(2), (n, 3)), jnp.arange(n)), jax.random.key(3)
    total, _ = method.loss({}, {}, key, batch)
    _, key_eps = jax.random.split(jax.random.split(key)[0])
    u = normal(keys_of(key_eps, batch.index), batch.x) - batch.x
    np.testing.assert_allclose(total, 0.5 * (sde.T - sde.t_min) * jnp.mean(jnp.sum(u**2, axis=1)), rtol=1e-9)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_weight_of_flow_matching_is_the_same_under_every_sde(sde):
    """The least loss on data of variance c, over the SDE's own times, is that of flow matching in closed form over the same logSNR."""
    c, ends = 0.3, (-6.0, 6.0)
    t_of = lambda l: float(sde.t_of_log_snr(jnp.asarray([l]))[0])

    @jax.jit
    def by_time(t):
        l = sde.log_snr(t)
        # E||eps - E[eps | x_t]||^2 of x_0 ~ N(0, c)
        return weights.flow()(l) * log_snr_rate(sde, t) * c * jnp.exp(l) / (1 + c * jnp.exp(l))

    found, _ = quadrature.quad(lambda t: float(by_time(jnp.asarray([t]))[0]), t_of(ends[1]), t_of(ends[0]), epsabs=1e-9)
    # Var(u | x_t) = 1 + c - cov(u, x_t)^2 / var(x_t) with u = eps - x_0 and x_t = (1 - t) x_0 + t eps.
    variance = lambda t: 1 + c - (t - (1 - t) * c) ** 2 / ((1 - t) ** 2 * c + t**2)
    expected, _ = quadrature.quad(variance, *(1 / (1 + np.exp(0.5 * l)) for l in ends[::-1]), epsabs=1e-9)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_logit_normal_weight_is_the_density_of_t():
    """Relative to uniform t, with a density made of scipy's normal one; and it is a density."""
    t = np.linspace(0.001, 0.999, 101)
    l = jnp.asarray(2 * np.log((1 - t) / t))
    for mean, std in ((0.0, 1.0), (-0.5, 0.7)):
        ratio = np.asarray(weights.flow_logit_normal(mean, std)(l) / weights.flow()(l))
        density = stats.norm(mean, std).pdf(np.log(t / (1 - t))) / (t * (1 - t))
        np.testing.assert_allclose(ratio, density, rtol=1e-9)
    # Three standard deviations of 1 are within the grid's ends, and its density is smooth.
    mass = stats.norm.cdf(np.log(999)) - stats.norm.cdf(-np.log(999))
    ratio = np.asarray(weights.flow_logit_normal()(l) / weights.flow()(l))
    np.testing.assert_allclose(np.trapezoid(ratio, t), mass, rtol=1e-3)
