"""A ScoreVAE with MLPs on a mixture in the plane, trained here, comes close to the exact p(x | z).

With z given by the world (z = A x_0 + noise) instead of by the encoder, p(z | x_t) is closed-form. So the encoder is trained
as ScoreVAE trains it, by denoising through Bayes' rule, on the exact prior and the exact z; what it must find is the exact
conditional score, and the decoder it makes must draw from the exact p(x | z).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm, qmc

from sde_vae.arrays import keys_of, normal
from sde_vae.diffusion import losses, scores, time_samplers, weights
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.sdes import VP, diffuse, terminal
from sde_vae.methods.correction import Corrector, corrected
from sde_vae.methods.method import Method
from sde_vae.methods.posteriors import noisy_input
from sde_vae.methods.prior import precondition, predicts_velocity, prior
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.encoder import Encoder
from sde_vae.nets.mlp import MLP
from sde_vae.nets.network import network
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.heun import heun
from sde_vae.solvers.step import integrate
from sde_vae.solvers.stochastic import euler_maruyama
from sde_vae.training.train_state import adam, cosine, init_state, make_update
from sde_vae.types import Batch
from tests.helpers.oracles import Mixture

SDE = VP(t_min=1e-2)
N = 512
TIMES = time_samplers.times_uniform_in_log_snr(SDE, N)


def world():
    means = jnp.array([[1.2, 0.3], [-0.9, 1.0], [0.1, -1.2]])
    return Mixture(jnp.array([0.3, 0.4, 0.3]), means, 0.04, jnp.array([[1.0, 0.5]]), 0.3)


def train(method, frozen, steps, batch_of, rate=3e-3):
    optimiser = adam(rate, steps, 50, 1.0, cosine)
    state = init_state(method, optimiser, jax.random.key(0))
    update = jax.jit(make_update(method, optimiser, 0.99))
    for step in range(steps):
        state, metrics = update(state, frozen, jax.random.key(1), batch_of(step))
    return state.ema_params, metrics


@jax.jit
def draw(step):
    return world().sample(jax.random.fold_in(jax.random.key(7), step), N)


INDEX = jnp.arange(N)


@pytest.mark.slow
def test_an_encoder_trained_through_bayes_rule_finds_the_exact_conditional():
    w, net = world(), network(Encoder(MLP(64, 64, 2, zero=False), 1), (2,))

    def log_likelihood(params, z):
        return lambda x, t: precondition(SDE, net, params, x, t).log_prob(z)

    def loss(params, frozen, key, batch):
        x_0, z = batch.x
        score = scores.bayes(w.marginal_score(SDE), log_likelihood(params, z))
        value = jnp.mean(losses.denoising(SDE, score, TIMES, weights.sigmoid(), key, Batch(x_0, batch.index)))
        return value, {"loss": value}

    params, _ = train(Method(net.init, loss), {}, 1000, lambda step: Batch(draw(step), INDEX))

    # The score: the error that is left, against that of leaving z out, in noise units over noise levels.
    x_0, z = w.sample(jax.random.key(11), 4096)
    index = jnp.arange(4096)
    t, _ = time_samplers.times_uniform_in_log_snr(SDE, 4096)(jax.random.key(12), index)
    eps = normal(keys_of(jax.random.key(13), index), x_0)
    x_t = SDE.alpha(t)[:, None] * x_0 + SDE.sigma(t)[:, None] * eps
    exact = jax.jit(w.conditional_score(SDE, z))(x_t, t)
    found = jax.jit(scores.bayes(w.marginal_score(SDE), log_likelihood(params, z)))(x_t, t)
    error = lambda s: float(jnp.mean(jnp.sum((SDE.sigma(t)[:, None] * (s - exact)) ** 2, axis=1)))
    # p(z | x_t) is a mixture, so no Gaussian is exact. The best one by moments is closed-form; training, which minimises
    # this very error, must do better than it, and far better than no z at all.
    by_moments = jax.jit(scores.bayes(w.marginal_score(SDE), w.gaussian_log_likelihood(SDE, z)))(x_t, t)
    assert error(found) < error(by_moments)
    assert error(found) < 0.25 * error(jax.jit(w.marginal_score(SDE))(x_t, t))

    # The decoder, on the same points as the exact one: the difference is what training leaves, and no noise.
    ours, exact, without = (
        decoded(of, z)
        for of in (
            lambda z: scores.bayes(w.marginal_score(SDE), log_likelihood(params, z)),
            lambda z: w.conditional_score(SDE, z),
            lambda z: w.marginal_score(SDE),
        )
    )
    np.testing.assert_allclose(ours.mean(0), exact.mean(0), atol=0.05)
    covariances = (np.cov(np.concatenate([x, z], axis=1).T) for x in (ours, exact))
    np.testing.assert_allclose(*covariances, atol=0.06)
    rms = lambda x: float(np.sqrt(np.mean((x - exact) ** 2)))
    assert rms(ours) < 0.4 * rms(without)


def decoded(score_of, z):
    """x at t_min of each z [4096, 1], by the ODE from points that fill N(0, I) evenly (Sobol's)."""
    grid, n = uniform_log_snr(SDE, 40), len(z)
    points = norm.ppf(qmc.Sobol(2, scramble=False).random(n) + 0.5 / n)
    x_T = terminal(SDE, jnp.asarray(points, jnp.float32))
    keys = keys_of(jax.random.key(20), jnp.arange(n))
    return np.asarray(jax.jit(lambda z: integrate(heun()(SDE, score_of(z)), keys, x_T, grid))(z), np.float64)


def test_the_exact_likelihood_decodes_to_the_exact_law():
    """Bayes' rule on log p(z | x_t) and the ODE: x has the moments of p(x_0 | z), diffused to t_min. No training and no sampling noise."""
    w = world()
    bayes = lambda z: scores.bayes(w.marginal_score(SDE), w.log_likelihood(SDE, z))
    a, s = (float(f(jnp.full(1, SDE.t_min))[0]) for f in (SDE.alpha, SDE.sigma))
    for one in (0.2, 1.35):  # two thirds and a third of two components; nearly one component alone
        log_w, means, cov = (np.asarray(of, np.float64) for of in w.given_z(jnp.array([one])))
        shares = np.exp(log_w)
        mean = shares @ means
        spread = means - mean
        x = decoded(bayes, jnp.full((4096, 1), one))
        np.testing.assert_allclose(x.mean(0), a * mean, atol=0.006)
        expected = a**2 * (cov + spread.T @ (shares[:, None] * spread)) + s**2 * np.eye(2)
        np.testing.assert_allclose(np.cov(x.T), expected, atol=0.02 * np.trace(expected))


@pytest.mark.slow
def test_a_whole_score_vae_reconstructs_points_it_has_not_seen():
    """Prior, then encoder, from data alone: a reconstruction is far nearer its point than another sample of the world is."""
    p = prior(SDE, network(MLP(2, 64, 2), (2,)), predicts_velocity, TIMES, weights.simple(SDE))
    encoder = network(Encoder(MLP(64, 64, 2, zero=False), 2), (2,))
    vae = score_vae(SDE, p, noisy_input(SDE, encoder), TIMES, weights.sigmoid(), kl_penalty(0.01))
    of_prior, _ = train(p, {}, 600, lambda step: Batch(draw(step)[0], INDEX))
    frozen = {"prior": of_prior}
    params, metrics = train(vae, frozen, 600, lambda step: Batch(draw(step)[0], INDEX))
    assert metrics["loss/kl"] > 1.0

    x_0 = world().sample(jax.random.key(11), N)[0]
    z = vae.encode(params, frozen, x_0).sample(keys_of(jax.random.key(12), INDEX))
    score = vae.score(params, frozen, z)
    x_T = terminal(SDE, normal(keys_of(jax.random.key(13), INDEX), x_0))
    grid = uniform_log_snr(SDE, 100)
    x = integrate(euler_maruyama(SDE, score), keys_of(jax.random.key(14), INDEX), x_T, grid)
    distance = lambda a, b: float(jnp.mean(jnp.sum((a - b) ** 2, axis=1)))
    assert distance(x, x_0) < 0.1 * distance(x_0[::-1], x_0)


@pytest.mark.slow
def test_a_correction_repairs_a_poor_encoder():
    """ScoreVAE+ on the exact prior, the exact q(z | x_0), and the Gaussian of p(z | x_t)'s own moments for an encoder."""
    w, net = world(), network(MLP(2, 64, 2, zero=False), (3,))
    by_moments = lambda z: scores.bayes(w.marginal_score(SDE), w.gaussian_log_likelihood(SDE, z))
    exact_encoder = lambda x: DiagGaussian(x @ w.A.T, jnp.full((len(x), 1), 2 * np.log(w.s)))
    base = Method(
        None,
        None,
        encode=lambda params, frozen, x: exact_encoder(x),
        score=lambda params, frozen, z: by_moments(z),
        unconditional=lambda params, frozen: w.marginal_score(SDE),
    )

    def residual(params, of_prior, x, t, z, keys):
        with_z = net._replace(
            apply=lambda params, x, log_snr: net.apply(params, jnp.concatenate([x, z], axis=1), log_snr)
        )
        return precondition(SDE, with_z, params, x, t)

    plus = corrected(SDE, base, base, Corrector(net.init, residual), TIMES, weights.sigmoid())
    frozen = {"prior": None, "encoder": None}
    params, _ = train(plus, frozen, 400, lambda step: Batch(draw(step)[0], INDEX))
    x_0, z = w.sample(jax.random.key(11), 4096)
    t, _ = time_samplers.times_uniform_in_log_snr(SDE, 4096)(jax.random.key(12), jnp.arange(4096))
    x_t = diffuse(SDE, x_0, t, jax.random.normal(jax.random.key(13), x_0.shape))
    exact = jax.jit(w.conditional_score(SDE, z))(x_t, t)
    error = lambda s: float(jnp.mean(jnp.sum((SDE.sigma(t)[:, None] * (jax.jit(s)(x_t, t) - exact)) ** 2, axis=1)))
    before, after = error(by_moments(z)), error(plus.score(params, frozen, z))
    assert after < 0.5 * before
