"""The discrete-time bound: each step's KL from its definition, the limits of L_T, and fitted variances."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.bounds.discrete import discrete_diffusion, discrete_diffusion_sum, fitted_diffusion, step_errors
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.scores import score_of_noise
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP, log_snr_range
from sde_vae.solvers import grids
from sde_vae.types import Batch
from tests.helpers.oracles import LinearGaussian
from tests.helpers.rarely import SDES

D, KEY = 3, jax.random.key(0)
pytestmark = pytest.mark.usefixtures("x64")


def at(sde, t):
    t = jnp.full(1, t)
    return float(sde.alpha(t)[0]), float(sde.sigma(t)[0])


MEAN, ROOT = np.array([0.4, -0.6, 0.2]), np.array([[0.9, 0.0, 0.0], [0.5, 0.6, 0.0], [-0.3, 0.2, 0.35]])


def world(spread=1.0):
    return LinearGaussian(jnp.asarray(MEAN), spread * jnp.asarray(ROOT @ ROOT.T), jnp.eye(D), 0.3)


def draws(n):
    return Batch(jnp.asarray(MEAN + np.random.default_rng(1).normal(size=(n, D)) @ ROOT.T), jnp.arange(n))


def least_error(sde, t):
    """E||eps - E[eps|x_t]||^2 at times [n]: world().denoising_error in the eigenbasis of C."""
    snr = jnp.exp(sde.log_snr(t))[:, None] * np.linalg.eigvalsh(ROOT @ ROOT.T)[None]
    return jnp.sum(snr / (1 + snr), axis=1)


def steps_of(sde, times):
    """e^{l_s - l_t} - 1 of each step, in numpy."""
    return np.expm1(np.diff(np.asarray(sde.log_snr(times))))


def off_by(sde, x_0, delta):
    """A score whose noise prediction is off by delta(t) [batch, d], whatever the noise: then a step is known without a draw."""

    def score(x, t):
        eps = (x - sde.alpha(t)[:, None] * x_0) / sde.sigma(t)[:, None]
        return score_of_noise(sde, eps + delta(t), t)

    return score


def gaussian_kl(mean, cov, other_mean, other_cov):
    inverse, d = np.linalg.inv(other_cov), other_mean - mean
    log_det = np.linalg.slogdet(other_cov)[1] - np.linalg.slogdet(cov)[1]
    return 0.5 * (np.trace(inverse @ cov) - len(d) + d @ inverse @ d + log_det)


def posterior(sde, t, s, x_t, x_0):
    """(mean, cov) of x_s given x_t and x_0, from the joint Gaussian of (x_s, x_t): cov(x_s, x_t) = alpha_t / alpha_s sigma_s^2."""
    (alpha_t, sigma_t), (alpha_s, sigma_s), d = at(sde, t), at(sde, s), len(x_0)
    across = alpha_t / alpha_s * sigma_s**2
    joint = np.kron([[sigma_s**2, across], [across, sigma_t**2]], np.eye(d))
    gain = joint[:d, d:] @ np.linalg.inv(joint[d:, d:])
    return alpha_s * x_0 + gain @ (x_t - alpha_t * x_0), joint[:d, :d] - gain @ joint[d:, :d]


@pytest.mark.parametrize(
    ("sde", "d"), [(VP(), 1), (CosineVP(), 2), (SubVP(), 2), (VE(), 3), (RectifiedFlow(), 2)], ids=str
)
def test_a_step_is_the_kl_between_its_two_gaussians(sde, d):
    """Fixed variance and fitted ones, against conditioning and KL written in matrices; the x_t is any, as it must not matter."""
    rng = np.random.default_rng(d)
    x_0, delta, x_t, m = rng.normal(size=d), rng.normal(size=d), rng.normal(size=d), 0.37

    @jax.jit
    def run(times):
        batch = Batch(jnp.asarray(x_0)[None], jnp.arange(1))
        score = off_by(sde, batch.x, lambda t: jnp.asarray(delta)[None])
        error = step_errors(sde, score, times, KEY, batch)
        fitted = fitted_diffusion(sde, times, error, jnp.asarray([m]), d)
        return discrete_diffusion_sum(sde, score, times, KEY, batch), fitted, error

    # One step from T, and one in the middle: in matrices too much cancels where s is near t, or the noise tiny.
    for t, s in [(sde.T, 0.3 * sde.T), (0.5 * sde.T, 0.4 * sde.T)]:
        fixed, fitted, error = run(jnp.asarray([t, s]))
        np.testing.assert_allclose(error, [[delta @ delta]], rtol=1e-9)
        alpha, sigma = at(sde, t)
        mean, cov = posterior(sde, t, s, x_t, x_0)
        x0_hat = (x_t - sigma * ((x_t - alpha * x_0) / sigma + delta)) / alpha
        mean_hat, _ = posterior(sde, t, s, x_t, x0_hat)
        np.testing.assert_allclose(fixed, gaussian_kl(mean, cov, mean_hat, cov), rtol=1e-8)
        # Analytic-DPM's words: sigma_Q^2 + c^2 E|x_0 - x0_hat|^2 / d, c the coefficient of x_0 in the mean.
        c = posterior(sde, t, s, np.zeros(d), np.ones(d))[0][0]
        variance = cov + c**2 * (sigma / alpha) ** 2 * m * np.eye(d)
        np.testing.assert_allclose(fitted, gaussian_kl(mean, cov, mean_hat, variance), rtol=1e-8)


def continuous_term(sde):
    """1/2 int least_error dl, by Gauss-Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    low, high = log_snr_range(sde)
    t = sde.t_of_log_snr(jnp.asarray(low + (high - low) * 0.5 * (nodes + 1)))
    return 0.25 * (high - low) * float(weights @ np.asarray(least_error(sde, t)))


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_sum_is_the_closed_form_and_falls_as_the_grid_is_refined(sde):
    """The exact denoiser in the linear-Gaussian world, nested grids: L_2T <= L_T, and all above the continuous term."""
    batch, score = draws(20_000), world().marginal_score(sde)
    run = jax.jit(lambda times: step_errors(sde, score, times, KEY, batch))
    t = jnp.asarray([0.3 * sde.T])
    np.testing.assert_allclose(least_error(sde, t)[0], world().denoising_error(sde, t[0], world().C), rtol=1e-10)
    for grid in (grids.uniform_t, grids.uniform_log_snr, grids.edm):
        times, exact, estimates, errors = grid(sde, 16), [], [], []
        # An error knows of its step no more than the start: those of the coarser grids are among those of the finest.
        drawn, least, l = (
            np.asarray(run(times)),
            np.asarray(least_error(sde, times[:-1])),
            np.asarray(sde.log_snr(times)),
        )
        for every in (16, 8, 4, 2, 1):
            k = np.expm1(np.diff(l[::every]))
            exact.append(0.5 * k @ least[::every])
            values = 0.5 * drawn[:, ::every] @ k
            estimates.append(values.mean())
            errors.append(values.std() / np.sqrt(len(values)))
        exact, estimates, errors = np.array(exact), np.array(estimates), np.array(errors)
        assert np.all(np.diff(exact) < 0)
        assert exact[-1] > continuous_term(sde)
        assert np.all(np.abs(estimates - exact) < 4 * errors)
        assert np.all(np.diff(estimates) < 4 * np.hypot(errors[1:], errors[:-1]))


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_sum_tends_to_the_continuous_term_as_one_over_T(sde):
    """The code with the oracle's error e(l) in the place of a drawn one, so that nothing hides the order.

    Euler-Maclaurin for the sum of h e(l_i) over left ends: L_T = 1/2 (e^h - 1)/h [I - h/2 De + h^2/12 De' - ...], where I = int e dl, h =
    range / T, and De' is the change of e', which is flat at both ends. So L_T - I/2 = h/4 (I - De) (1 + c h + ...).
    """
    batch = Batch(jnp.zeros((1, D)), jnp.arange(1))
    score = off_by(sde, batch.x, lambda t: jnp.sqrt(least_error(sde, t) / D)[:, None] * jnp.ones((1, D)))
    times, every = grids.uniform_log_snr(sde, 1024), np.array([8, 1])
    errors = jax.jit(lambda times: step_errors(sde, score, times, KEY, batch))(times)
    coarse = lambda k: float(fitted_diffusion(sde, times[::k], errors[:, ::k], jnp.zeros(1024 // k), D)[0])
    gaps = np.array([coarse(k) for k in every]) - continuous_term(sde)

    low, high = log_snr_range(sde)
    h, integral = (high - low) * every / 1024, 2 * continuous_term(sde)
    change = float(np.diff(least_error(sde, jnp.asarray([sde.T, sde.t_min])))[0])
    predicted = 0.5 * (np.expm1(h) / h * (integral - 0.5 * h * change) - integral)
    # De' is h/6 De' / (I - De) of the gap. Where snr is r at an end, De' is about D r or D / r: 1e-2 or less; h < 1/4, I - De > 10.
    np.testing.assert_allclose(gaps, predicted, rtol=1e-4)
    c = (integral / 3 - change / 2) / (integral - change)
    slopes = np.diff(np.log(gaps)) / np.diff(np.log(1024 / every))
    np.testing.assert_allclose(slopes, -1, atol=float(abs(c) * h[0]))


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_one_step_times_n_is_unbiased_for_the_sum(sde):
    steps, size = 24, 60_000
    for grid in (grids.uniform_t, grids.uniform_log_snr):
        times, batch = grid(sde, steps), draws(size)
        k = steps_of(sde, times)
        # Where the error of a step is known without a draw, strata of one step each have the sum for their mean, to rounding.
        score = off_by(sde, batch.x, lambda t: (1 + t)[:, None] * jnp.ones((1, D)))
        values = np.asarray(discrete_diffusion(sde, score, times, steps, KEY, batch))
        expected = 0.5 * k @ (D * (1 + np.asarray(times[:-1])) ** 2)
        np.testing.assert_allclose(values.reshape(-1, steps).mean(axis=1), expected, rtol=1e-7)
        # With errors that are drawn, and strata that the steps do not divide, within the standard error.
        values = np.asarray(discrete_diffusion(sde, world().marginal_score(sde), times, 1000, jax.random.key(3), batch))
        expected = 0.5 * k @ np.asarray(least_error(sde, times[:-1]))
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(size)


def test_an_example_does_not_depend_on_its_company():
    sde, batch, times = VP(), Batch(draws(8).x.reshape(8, 3, 1, 1), jnp.arange(8)), grids.uniform_t(VP(), 6)
    score = lambda x, t: 0 * x  # an error is then the square of the noise drawn for it, at every time

    @jax.jit
    def run(batch):
        return discrete_diffusion(sde, score, times, 8, KEY, batch), step_errors(sde, score, times, KEY, batch)

    one, errors = run(batch)
    # Places swapped, and half of the company replaced.
    order = np.array([3, 2, 1, 0, 4, 5, 6, 7])
    others = Batch(batch.x[order].at[4:].set(1.0), batch.index[order].at[4:].add(100))
    for a, b in zip((one, errors), run(others), strict=True):
        np.testing.assert_allclose(a[:4], b[3::-1], rtol=1e-12)
        assert not np.any(a[4:] == b[4:])
    assert len(np.unique(errors)) == errors.size  # every step and every example has its own noise


@partial(jax.jit, static_argnums=0)
def errors_and_sum(sde, times, batch, model):
    score = model.marginal_score(sde)
    return step_errors(sde, score, times, KEY, batch), discrete_diffusion_sum(sde, score, times, KEY, batch)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_fitted_variance_is_the_best_and_reduces_to_the_fixed_one(sde):
    times = grids.uniform_log_snr(sde, 8)
    # The score of a wrong world: the theorem asks for no good one.
    error, fixed = errors_and_sum(sde, times, draws(500), world(spread=2.0))
    np.testing.assert_allclose(fitted_diffusion(sde, times, error, jnp.zeros(8), D), fixed, rtol=1e-9)

    best = error.mean(axis=0) / D
    of = lambda fitted: float(fitted_diffusion(sde, times, error, jnp.asarray(fitted), D).mean())
    assert of(best) < fixed.mean()
    for factor in (0, 0.9, 1.1, 10):
        assert all(of(np.where(np.arange(8) == i, factor, 1) * best) > of(best) for i in range(8))


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_with_fitted_variances_the_bound_of_isotropic_data_is_tight_at_any_T(sde):
    """There every p(x_s|x_t) is an isotropic Gaussian: even one step, a VAE with a fitted Gaussian decoder, has

    E KL(q(x_T|x_0) || pi) + steps + entropy of the noise at t_min = -E log p(x_eps) + KL(p(x_T) || pi).
    """
    m, c = np.array([0.3, -0.2, 0.5]), 0.4
    (a, s), (a_T, s_T), eye = at(sde, sde.t_min), at(sde, sde.T), np.eye(D)
    prior = 0.5 * a_T**2 / s_T**2 * (m @ m + D * c)
    noise = 0.5 * D * np.log(2 * np.pi * np.e * s**2)
    nll = 0.5 * D * np.log(2 * np.pi * np.e * (a**2 * c + s**2))
    start = gaussian_kl(a_T * m, (a_T**2 * c + s_T**2) * eye, 0 * m, s_T**2 * eye)
    for steps in (1, 4):
        times = grids.uniform_t(sde, steps)
        snr = c * jnp.exp(sde.log_snr(times[:-1]))
        error = D * snr / (1 + snr)
        cost = float(fitted_diffusion(sde, times, error[None], error / D, D)[0])
        np.testing.assert_allclose(prior + cost + noise, nll + start, rtol=1e-9)
