"""Langevin dynamics leaves the marginal as it is, up to its step, and mends what a predictor got wrong."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import keys_of
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP
from sde_vae.solvers.langevin import langevin
from sde_vae.solvers.stochastic import ancestral
from tests.helpers.chains import chains, first_move
from tests.helpers.oracles import LinearGaussian
from tests.helpers.rarely import SDES

pytestmark = pytest.mark.usefixtures("x64")


@functools.cache
def world():
    return LinearGaussian.random(jax.random.key(0))


def at_one_size(sde):
    """The time at which the data is as large as the noise."""
    return sde.t_of_log_snr(jnp.zeros(1))


def marginal(sde, t):
    a, s = float(sde.alpha(t)[0]), float(sde.sigma(t)[0])
    return a * np.asarray(world().m), a**2 * np.asarray(world().C) + s**2 * np.eye(3)


def one_move(sde, snr, t):
    step = langevin(snr)(sde, world().marginal_score(sde))
    return chains(step, 3, [jnp.concatenate([t, t])], first_move, at_next=True)[0]


def fixed_point(chain):
    """(mean, covariance) that a move leaves as they are."""
    A, b, Q = chain.law()
    mean = np.linalg.solve(np.eye(3) - A, b)
    return mean, np.linalg.solve(np.eye(9) - np.kron(A, A), Q.reshape(-1)).reshape(3, 3)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_stationary_law_tends_to_the_marginal_as_snr_squared(sde):
    """Its mean is exact; its covariance is V (1 - snr^2 sigma^2 V^-1)^-1, that is V + snr^2 sigma^2 to first order in epsilon."""
    snr, t = 0.1, at_one_size(sde)
    (mean, V), noise = marginal(sde, t), (snr * float(sde.sigma(t)[0])) ** 2
    step = langevin(snr)(sde, world().marginal_score(sde))
    A, b, Q = chains(step, 3, [jnp.concatenate([t, t])], first_move, at_next=True)[0].law()
    # mean = A mean + b, cov = A cov A^T + Q
    np.testing.assert_allclose(np.linalg.solve(np.eye(3) - A, b), mean, rtol=1e-9)
    cov = np.linalg.solve(np.eye(9) - np.kron(A, A), Q.reshape(-1)).reshape(3, 3)
    np.testing.assert_allclose(cov, V @ np.linalg.inv(np.eye(3) - noise * np.linalg.inv(V)), rtol=1e-9)
    # The next term is noise^2 / V, and V >= sigma^2.
    np.testing.assert_allclose(cov, V + noise * np.eye(3), atol=1.1 * snr**2 * noise)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_many_steps_from_the_marginal_leave_it_unchanged(sde):
    """To 4.5 standard errors of n draws, and the covariance's bias of snr^2, which no number of steps exceeds."""
    n, snr, t = 4096, 0.16, at_one_size(sde)
    mean, V = marginal(sde, t)
    x = mean + np.random.default_rng(0).standard_normal((n, 3)) @ np.linalg.cholesky(V).T
    step, full = langevin(snr, steps=100)(sde, world().marginal_score(sde)), jnp.full(n, t[0])
    keys = keys_of(jax.random.key(0), jnp.arange(n))
    moved, _ = jax.jit(step.move)(keys, jnp.asarray(x), (), full, full)
    # They did move: the slowest direction keeps (1 - epsilon / V)^100 of where it was.
    kept = (1 - 2 * (snr * float(sde.sigma(t)[0])) ** 2 / np.linalg.eigvalsh(V)[-1]) ** 100
    correlation = np.mean((np.asarray(moved) - mean) * (x - mean)) / np.mean((x - mean) ** 2)
    assert correlation < kept + 4.5 / np.sqrt(n)

    variance, bias = np.diag(V), snr**2 * np.linalg.norm(V)
    assert np.all(np.abs(moved.mean(0) - mean) < 4.5 * np.sqrt(variance / n) * (1 + snr**2))
    assert np.all(np.abs(np.cov(moved.T) - V) < 4.5 * np.sqrt((variance[:, None] * variance[None] + V**2) / n) + bias)


@pytest.mark.parametrize("sde", [VP(), VE(), RectifiedFlow()], ids=str)
def test_a_corrector_mends_a_coarse_predictor(sde):
    """The covariance after a few steps of ancestral sampling, which lose much of it, is nearer the marginal's with a corrector."""
    grid, score = sde.t_of_log_snr(jnp.linspace(-3, 0, 7)), world().marginal_score(sde)
    predicted = chains(ancestral(sde, score), 3, [grid])[0]
    corrected = predicted.then(chains(langevin(0.16)(sde, score), 3, [grid], first_move, at_next=True)[0])
    start, (_, V) = marginal(sde, grid[:1]), marginal(sde, grid[-1:])
    wrong, mended = (np.linalg.norm(chain.moments(*start)[1] - V) for chain in (predicted, corrected))
    assert mended < 0.9 * wrong, (wrong, mended)


def test_the_step_depends_on_the_noise_level_alone():
    """Not on x, nor on who else is in the batch: the paper's norms over the batch would change the law that is left invariant."""
    sde, t = VP(), jnp.full(4, 0.5)
    keys, x = keys_of(jax.random.key(0), jnp.arange(4)), jax.random.normal(jax.random.key(1), (4, 3))
    move = jax.jit(lambda x: langevin(0.16)(sde, lambda x, t: jnp.zeros_like(x)).move(keys, x, (), t, t)[0])
    noise = 2 * 0.16 * sde.sigma(t)[:, None] * first_move(keys, x)
    np.testing.assert_allclose(move(x), x + noise, rtol=1e-9)
    np.testing.assert_allclose(move(100 * x), 100 * x + noise, rtol=1e-9)
    np.testing.assert_array_equal(move(x.at[1:].mul(100))[0], move(x)[0])
