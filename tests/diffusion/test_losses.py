"""Losses: exact values at exact scores, unbiased times, and weights as published."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate as quadrature
from scipy import stats

from sde_vae.build.objectives import WEIGHTS
from sde_vae.diffusion import losses, scores, time_samplers, weights
from sde_vae.diffusion.scores import velocity_of_noise
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP, log_snr_range
from sde_vae.types import Batch
from tests.helpers.oracles import LinearGaussian

SDES = [VP(), CosineVP(), SubVP(), VE()]
N = 40_000
pytestmark = pytest.mark.usefixtures("x64")


def world():
    return LinearGaussian.random(jax.random.key(0))


def estimate(sde, score, times, weight, x_0, seed=3):
    values = losses.denoising(
        sde, score, times(sde, len(x_0)), weight, jax.random.key(seed), Batch(x_0, jnp.arange(len(x_0)))
    )
    assert values.shape == (len(x_0),)
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


@pytest.mark.parametrize("times", [time_samplers.times_uniform_in_t, time_samplers.times_uniform_in_log_snr])
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_likelihood_loss_has_its_closed_form_at_the_exact_scores(sde, times):
    """1/2 int E||eps_hat - eps||^2 dl, by quadrature over the exact least error, for the marginal and for p(x|z)."""
    w = world()
    x_0, z = w.sample(jax.random.key(1), N)
    low, high = log_snr_range(sde)
    for score, cov in [
        (w.marginal_score(sde), w.C),
        (scores.bayes(w.marginal_score(sde), w.log_likelihood(sde, z)), w.given_z(z[0])[1]),
    ]:
        error = jax.jit(lambda l, cov=cov: w.denoising_error(sde, sde.t_of_log_snr(jnp.asarray([l]))[0], cov))
        expected = 0.5 * quadrature.quad(lambda l, error=error: float(error(l)), low, high, epsrel=1e-6)[0]
        mean, stderr = estimate(sde, score, times, weights.likelihood_weighting(), x_0)
        assert abs(mean - expected) < 4 * stderr, (mean, expected, stderr)
        assert stderr < 0.05 * expected


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_exact_score_is_the_least(sde):
    """Any other score loses: the same draws, so that the difference is seen through the noise."""
    w = world()
    x_0, _ = w.sample(jax.random.key(1), N)
    exact = w.marginal_score(sde)
    least, _ = estimate(sde, exact, time_samplers.times_uniform_in_log_snr, weights.likelihood_weighting(), x_0)
    for factor in (0.9, 1.1):
        other, _ = estimate(
            sde,
            lambda x, t, f=factor: f * exact(x, t),
            time_samplers.times_uniform_in_log_snr,
            weights.likelihood_weighting(),
            x_0,
        )
        assert other > least


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_times_do_not_change_what_is_estimated(sde, weight):
    w = world()
    x_0, _ = w.sample(jax.random.key(1), N)
    fn = WEIGHTS[weight](sde, 0.0)
    a, a_err = estimate(sde, w.marginal_score(sde), time_samplers.times_uniform_in_t, fn, x_0)
    b, b_err = estimate(sde, w.marginal_score(sde), time_samplers.times_uniform_in_log_snr, fn, x_0, seed=4)
    assert abs(a - b) < 4 * np.hypot(a_err, b_err)


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


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_weights_on_the_velocity_are_the_others_of_its_error(sde):
    key = jax.random.key(0)
    t = jnp.linspace(0.01, 1.0, 50)
    x, a, b = jax.random.normal(key, (3, 50, 2))
    v = [velocity_of_noise(sde, eps, x, t) for eps in (a, b)]
    l, squares = sde.log_snr(t), lambda d: jnp.sum(d**2, axis=1)
    for weight, base in (
        (weights.velocity(2.0), weights.sigmoid(2.0)),
        (weights.simple_velocity(sde), weights.simple(sde)),
    ):
        np.testing.assert_allclose(weight(l) * squares(a - b), base(l) * squares(v[0] - v[1]), rtol=1e-6)


@pytest.mark.parametrize("times", [time_samplers.times_uniform_in_t, time_samplers.times_uniform_in_log_snr])
def test_times_are_stratified(times):
    """One time in each of the n equal cells, whatever the key; and the same index gives the same time in any company."""
    sde, n = VP(), 32
    index = jnp.arange(n)
    t, _ = times(sde, n)(jax.random.key(7), index)
    low, high = log_snr_range(sde)
    u = (
        (t - sde.t_min) / (sde.T - sde.t_min)
        if times is time_samplers.times_uniform_in_t
        else (sde.log_snr(t) - low) / (high - low)
    )
    assert sorted(np.floor(np.asarray(u) * n + 1e-9).astype(int) % n) == list(range(n))
    some, _ = times(sde, n)(jax.random.key(7), index[8:16])
    np.testing.assert_array_equal(some, t[8:16])


def test_uniform_log_snr_is_the_steadier_estimate_of_the_likelihood_loss():
    sde, w = VP(), world()
    x_0, _ = w.sample(jax.random.key(1), N)
    _, by_t = estimate(
        sde, w.marginal_score(sde), time_samplers.times_uniform_in_t, weights.likelihood_weighting(), x_0
    )
    _, by_l = estimate(
        sde, w.marginal_score(sde), time_samplers.times_uniform_in_log_snr, weights.likelihood_weighting(), x_0
    )
    assert by_l < 0.7 * by_t
