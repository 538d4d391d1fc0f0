"""Importance weights: their mean is the T-step model's density, exactly; what they make of the bound; what may not be exponentiated."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.bounds import terms
from sde_vae.bounds.discrete import discrete_diffusion_sum
from sde_vae.bounds.importance import importance_weighted, latent_log_weight, path_log_weight, posterior_path
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP
from sde_vae.solvers import grids
from sde_vae.types import Batch
from tests.helpers.oracles import gaussian_logpdf
from tests.helpers.rarely import rarely

# They end where some noise is left, so that the weights of a few steps have a moderate variance, and one starts where some of x_0 is.
SDES = [
    VP(t_min=0.3),
    VE(t_min=0.6),
    RectifiedFlow(-4.0, t_min=0.4),
    *rarely(CosineVP(log_snr_min=-1.0, t_min=0.4), SubVP(t_min=0.4)),
]
STEPS, N = 4, 100_000
pytestmark = pytest.mark.usefixtures("x64")

# The model: x_0 | z ~ N(m + B z, C), z ~ N(0, I); a chain of STEPS steps with its exact scores.
m, B, C = np.array([0.3, -0.5]), np.array([[0.5], [-0.3]]), np.array([[0.5, 0.2], [0.2, 0.4]])


def at(sde, t):
    t = jnp.full(1, t)
    return float(sde.alpha(t)[0]), float(sde.sigma(t)[0])


def score_given(sde, z, m, B, C):
    values, U = np.linalg.eigh(C)
    mean = m[None] + z @ B.T

    def score(x, t):
        a, s = sde.alpha(t)[:, None], sde.sigma(t)[:, None]
        return -((x - a * mean) @ U / (a**2 * values[None] + s**2)) @ U.T

    return score


def chain(sde, times, m, B, C):
    """x_{t_min} | z ~ N(b + M z, cov) of the T-step model, step by step in matrices, every one as its definition has it."""
    eye, times = np.eye(len(m)), np.asarray(times)
    b, M, cov = 0 * m, 0 * B, at(sde, times[0])[1] ** 2 * eye  # pi
    for t, s in itertools.pairwise(times):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = at(sde, t), at(sde, s)
        # q(x_s|x_t,x_0): mean alpha_s x_0 + gain (x_t - alpha_t x_0), from cov(x_s, x_t) = alpha_t / alpha_s sigma_s^2.
        across = alpha_t / alpha_s * sigma_s**2
        gain, variance = across / sigma_t**2, sigma_s**2 - across**2 / sigma_t**2
        # x0_hat = m + B z + K (x_t - alpha_t (m + B z))
        K = alpha_t * C @ np.linalg.inv(alpha_t**2 * C + sigma_t**2 * eye)
        by_x0 = (alpha_s - gain * alpha_t) * eye
        F, constant = gain * eye + by_x0 @ K, by_x0 @ (eye - alpha_t * K)
        b, M, cov = F @ b + constant @ m, F @ M + constant @ B, F @ cov @ F.T + variance * eye
    return b, M, cov


def agrees(values, expected):
    """The mean of positive weights, within 4 standard errors that are themselves under 2 percent of it."""
    values = np.asarray(values)
    error = values.std() / np.sqrt(len(values))
    assert error < 0.02 * expected, error / expected
    assert abs(values.mean() - expected) < 4 * error, (values.mean(), expected, error)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_mean_weight_is_the_density_of_the_T_step_model(sde):
    """With the density N(x_0; x_eps / alpha, (sigma / alpha)^2 I) for the last term, given z and with z drawn from a wrong q."""
    times, index = grids.uniform_log_snr(sde, STEPS), jnp.arange(N)
    b, M, cov = chain(sde, times, m, B, C)
    a, s = at(sde, sde.t_min)

    @jax.jit
    def run(x_0, q, fixed):
        drawn = q.sample(jax.random.split(jax.random.key(1), N))
        z = jnp.where(fixed, q.mean, drawn)
        log_w, x_eps = posterior_path(sde, score_given(sde, z, m, B, C), times, jax.random.key(0), Batch(x_0, index))
        log_w += gaussian_logpdf(x_0, x_eps / a, (s / a) ** 2 * jnp.eye(2))
        return jnp.exp(log_w + jnp.where(fixed, 0.0, latent_log_weight(q, z))), x_eps

    def density(mean, cov):
        return np.exp(gaussian_logpdf(jnp.asarray(x_0)[None], jnp.asarray(mean)[None], jnp.asarray(cov))[0])

    for x_0, z in [(np.array([0.4, 0.1]), np.array([0.5])), (np.array([-0.5, 0.6]), np.array([-0.8]))]:
        copies = jnp.broadcast_to(x_0, (N, 2))
        q = DiagGaussian(jnp.broadcast_to(z, (N, 1)), jnp.full((N, 1), np.log(0.7)))
        w, x_eps = run(copies, q, True)
        agrees(w, density((b + M @ z) / a, (cov + s**2 * np.eye(2)) / a**2))
        # The path ends in q(x_eps | x_0).
        np.testing.assert_allclose(x_eps.mean(0), a * x_0, atol=4 * s / np.sqrt(N))
        np.testing.assert_allclose(np.cov(x_eps.T), s**2 * np.eye(2), atol=4 * s**2 * np.sqrt(2 / N))
        w, _ = run(copies, q, False)
        agrees(w, density(b / a, (cov + s**2 * np.eye(2) + M @ M.T) / a**2))


def pixel_chain(sde, times, levels, **model):
    """log P_T(v) of every level v of one pixel: the chain's end through the discretised decoder, by quadrature."""
    b, _, cov = chain(sde, times, **model)
    (a, s), value = at(sde, sde.t_min), np.linspace(-1, 1, levels)
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    x = b[0] + np.sqrt(cov[0, 0]) * nodes
    decoder = np.exp(-0.5 * ((x[:, None] - a * value) / s) ** 2)
    return np.log(weights / weights.sum() @ (decoder / decoder.sum(axis=1, keepdims=True)))


@pytest.mark.parametrize("sde", SDES[1:3], ids=str)
def test_weights_tighten_the_bound_towards_the_exact_likelihood(sde):
    """One pixel of 3 levels: exact <= K = 64 <= ... <= K = 1 = L_T, and E w = P_T(x_0), which sums to 1."""
    levels, per_level, times = 3, 64 * 500, grids.uniform_log_snr(sde, STEPS)
    model = {"m": np.array([0.2]), "B": np.zeros((1, 1)), "C": np.array([[0.4]])}
    exact = pixel_chain(sde, times, levels, **model)
    np.testing.assert_allclose(np.exp(exact).sum(), 1, rtol=1e-12)

    @jax.jit
    def run():
        x_0 = jnp.repeat(jnp.linspace(-1, 1, levels), per_level)[:, None]
        batch, score = Batch(x_0, jnp.arange(len(x_0))), score_given(sde, jnp.zeros((len(x_0), 1)), **model)
        log_w = path_log_weight(sde, score, times, levels, jax.random.key(0), batch)
        bound = terms.prior_kl(sde, x_0) + terms.reconstruction(sde, levels, jax.random.key(1), batch)
        return log_w, bound + discrete_diffusion_sum(sde, score, times, jax.random.key(2), batch)

    log_w, bound = (np.asarray(a).reshape(levels, -1) for a in run())
    for v in range(levels):
        agrees(np.exp(log_w[v]), np.exp(exact[v]))
        # E[-log w] is L_T.
        error = np.hypot(log_w[v].std(), bound[v].std()) / np.sqrt(per_level)
        assert abs(bound[v].mean() + log_w[v].mean()) < 4 * error
        tightened = []
        for K in (1, 4, 16, 64):
            # Neighbours share a group, so that every larger group is made of smaller ones: Jensen on the draws themselves.
            values = np.asarray(importance_weighted(jnp.asarray(log_w[v].reshape(-1, K).T)))
            tightened.append(values.mean())
            assert values.mean() > -exact[v] - 4 * values.std() / np.sqrt(len(values))
        np.testing.assert_allclose(tightened[0], -log_w[v].mean(), rtol=1e-12)
        assert np.all(np.diff(tightened) < 0)
        # By the delta method the gap of K is var(w) / (2 K P^2), and it is gone by K = 64 but for that.
        spread = np.exp(log_w[v]).var() / np.exp(2 * exact[v])
        assert tightened[-1] + exact[v] < spread / 64 + 4 * values.std() / np.sqrt(len(values))


def test_the_weighted_bound_is_the_log_of_the_mean():
    log_w = np.random.default_rng(0).normal(size=(5, 7))
    np.testing.assert_allclose(importance_weighted(jnp.asarray(log_w)), -np.log(np.exp(log_w).mean(axis=0)), rtol=1e-12)
    far = importance_weighted(jnp.asarray(log_w - 5000))  # images have thousands of nats
    np.testing.assert_allclose(far, 5000 - np.log(np.exp(log_w).mean(axis=0)), rtol=1e-12)


def test_the_latent_weight_is_the_ratio_of_the_densities():
    q, z = DiagGaussian(jnp.asarray([[0.3, -0.2]]), jnp.asarray([[-0.5, 0.4]])), jnp.asarray([[1.0, 2.0]])
    p = gaussian_logpdf(z, jnp.zeros((1, 2)), jnp.eye(2)) - gaussian_logpdf(z, q.mean, jnp.diag(jnp.exp(q.log_var[0])))
    np.testing.assert_allclose(latent_log_weight(q, z), p, rtol=1e-12)


def test_a_one_sample_estimate_of_the_diffusion_term_may_not_be_exponentiated():
    """Where the bound is tight, the log of the mean of its exponentials falls under the exact -log p: it is none."""
    sde, c, K = VP(), 0.5, 16
    a, s = at(sde, sde.t_min)
    x_0 = jnp.asarray(np.sqrt(c) * np.random.default_rng(0).normal(size=(N // K, 1)))
    batch = Batch(jnp.repeat(x_0, K, axis=0), jnp.arange(len(x_0) * K))
    score = lambda x, t: -x / (c * jnp.square(sde.alpha(t)) + jnp.square(sde.sigma(t)))[:, None]
    key, noise = jax.random.key(0), 0.5 * np.log(2 * np.pi * np.e * s**2)
    run = jax.jit(lambda b: terms.prior_kl(sde, b.x) + terms.diffusion(sde, score, key, b, len(b.x)))
    estimate = np.asarray(run(batch)) + noise
    exact = 0.5 * np.log(2 * np.pi * np.e * (a**2 * c + s**2))
    assert abs(estimate.mean() - exact) < 4 * estimate.std() / np.sqrt(len(estimate))
    naive = np.asarray(importance_weighted(jnp.asarray(-estimate.reshape(-1, K).T)))
    assert naive.mean() < exact - 20 * naive.std() / np.sqrt(len(naive))


def test_an_example_does_not_depend_on_its_company():
    sde, times = VP(t_min=0.3), grids.uniform_t(VP(t_min=0.3), 3)
    x = jnp.asarray(np.random.default_rng(0).choice([-1.0, 1.0], (6, 2, 2, 1)))
    run = jax.jit(lambda batch: path_log_weight(sde, lambda x, t: -x, times, 2, jax.random.key(0), batch))
    whole = run(Batch(x, jnp.arange(6)))
    others = run(Batch(x[::-1].at[:3].set(1.0), jnp.arange(6)[::-1].at[:3].add(100)))
    np.testing.assert_allclose(others[:2:-1], whole[:3], rtol=1e-12)
    assert len(np.unique(whole)) == 6
