"""Scores: round trips, Tweedie, and Bayes' rule against exact conditional scores."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion import scores
from sde_vae.diffusion.sdes import VP, diffuse
from tests.helpers.oracles import LinearGaussian, Mixture
from tests.helpers.rarely import SDES

pytestmark = pytest.mark.usefixtures("x64")


def linear():
    return LinearGaussian.random(jax.random.key(0))


def mixture():
    k1, k2 = jax.random.split(jax.random.key(1))
    return Mixture(
        jnp.array([0.2, 0.5, 0.3]), 1.5 * jax.random.normal(k1, (3, 2)), 0.05, jax.random.normal(k2, (1, 2)), 0.4
    )


def points(world, sde, n=64):
    k1, k2, k3 = jax.random.split(jax.random.key(2), 3)
    x_0, z = world.sample(k1, n)
    t = jax.random.uniform(k2, (n,), minval=sde.t_min, maxval=sde.T)
    return diffuse(sde, x_0, t, jax.random.normal(k3, x_0.shape)), z, t


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_round_trips(sde):
    x, _, t = points(linear(), sde)
    eps = jax.random.normal(jax.random.key(5), x.shape)
    trips = {
        "score": scores.noise_of_score(sde, scores.score_of_noise(sde, eps, t), t),
        "denoised": scores.noise_of_denoised(sde, scores.denoised_of_noise(sde, eps, x, t), x, t),
        "velocity": scores.noise_of_velocity(sde, scores.velocity_of_noise(sde, eps, x, t), x, t),
        "flow": scores.noise_of_flow(sde, scores.flow_of_noise(sde, eps, x, t), x, t),
    }
    for name, back in trips.items():
        np.testing.assert_allclose(back, eps, rtol=1e-9, atol=1e-9, err_msg=name)


def test_velocity_is_salimans_and_hos():
    sde = VP()
    x_0, eps = jax.random.normal(jax.random.key(0), (2, 8, 3))
    t = jnp.linspace(0.1, 0.9, 8)
    x = diffuse(sde, x_0, t, eps)
    v = sde.alpha(t)[:, None] * eps - sde.sigma(t)[:, None] * x_0
    np.testing.assert_allclose(scores.velocity_of_noise(sde, eps, x, t), v, atol=1e-12)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_tweedie_gives_the_posterior_mean(sde):
    """E[x_0 | x_t] of the linear-Gaussian world by Gaussian conditioning, against the denoised image of its exact score."""
    world = linear()
    x, _, t = points(world, sde)
    eps_hat = scores.noise_of_score(sde, world.marginal_score(sde)(x, t), t)

    def conditioned(x, t):
        a, s = sde.alpha(t[None])[0], sde.sigma(t[None])[0]
        S = a**2 * world.C + s**2 * jnp.eye(3)
        return world.m + a * world.C @ jnp.linalg.solve(S, x - a * world.m)

    np.testing.assert_allclose(scores.denoised_of_noise(sde, eps_hat, x, t), jax.vmap(conditioned)(x, t), atol=1e-8)


@pytest.mark.parametrize("make_world", [linear, mixture])
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_bayes_rule_is_the_exact_conditional_score(sde, make_world):
    world = make_world()
    x, z, t = points(world, sde)
    score = scores.bayes(world.marginal_score(sde), world.log_likelihood(sde, z))
    exact = world.conditional_score(sde, z)(x, t)
    assert jnp.max(jnp.abs(score(x, t) - exact)) < 1e-10 * jnp.max(jnp.abs(exact))


def test_guidance_weighs_the_likelihood_alone():
    sde, world = VP(), mixture()
    x, z, t = points(world, sde)
    prior, log_likelihood = world.marginal_score(sde), world.log_likelihood(sde, z)
    at = {g: scores.bayes(prior, log_likelihood, g)(x, t) for g in (0.0, 1.0, 2.5)}
    np.testing.assert_allclose(at[0.0], prior(x, t), atol=1e-12)
    np.testing.assert_allclose(at[2.5], at[0.0] + 2.5 * (at[1.0] - at[0.0]), atol=1e-9)


def test_classifier_free_guidance_may_be_a_number_for_each_example():
    sde, world = VP(), mixture()
    x, z, t = points(world, sde)
    conditional, unconditional = world.conditional_score(sde, z), world.marginal_score(sde)
    guided = lambda guidance: scores.classifier_free(conditional, unconditional, guidance)(x, t)
    each = jnp.where(jnp.arange(len(x)) % 2 == 0, 0.5, 2.0)
    np.testing.assert_allclose(guided(each)[::2], guided(0.5)[::2], rtol=1e-12)
    np.testing.assert_allclose(guided(each)[1::2], guided(2.0)[1::2], rtol=1e-12)


def test_the_log_variance_term_matters():
    """Dropping -1/2 sum log var(x_t, t) from log q, as the authors' code does, is another score."""
    sde, world = VP(), mixture()
    x, z, t = points(world, sde)

    def log_q(x, t, full):
        log_var = jnp.sin(x[:, :1])
        square = -0.5 * (z - x[:, 1:]) ** 2 * jnp.exp(-log_var)
        return (square - 0.5 * log_var * full)[:, 0]

    whole, part = (
        scores.bayes(world.marginal_score(sde), lambda x, t, full=full: log_q(x, t, full))(x, t) for full in (1, 0)
    )
    np.testing.assert_allclose((whole - part)[:, 0], -0.5 * jnp.cos(x[:, 0]), atol=1e-12)


def test_the_prior_takes_over_at_high_noise():
    sde, world = VP(), mixture()
    x, z, _ = points(world, sde)
    prior, conditional = world.marginal_score(sde), world.conditional_score(sde, z)
    n = len(x)
    for t in (jnp.full(n, 0.1), jnp.full(n, 0.9), jnp.linspace(0.01, 1.0, n)):
        below = (sde.log_snr(t) < -1.0)[:, None]
        expected = jnp.where(below, prior(x, t), conditional(x, t))
        np.testing.assert_allclose(scores.switch_at_log_snr(sde, -1.0, prior, conditional)(x, t), expected, atol=1e-12)


def test_only_the_score_that_is_used_is_evaluated():
    """All examples on one side of the threshold, as solvers have them."""
    sde, calls = VP(), []

    def named(name):
        def score(x, t):
            jax.debug.callback(lambda: calls.append(name))
            return -x

        return score

    score = jax.jit(scores.switch_at_log_snr(sde, -1.0, named("prior"), named("conditional")))
    for t, expected in ((0.9, ["prior"]), (0.1, ["conditional"])):
        calls.clear()
        score(jnp.ones((2, 3)), jnp.full(2, t)).block_until_ready()
        jax.effects_barrier()
        assert calls == expected
