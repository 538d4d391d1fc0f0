"""Solvers reach p(x | z) when they are given its exact score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae import scores, solvers
from sde_vae.arrays import keys_of, normal
from sde_vae.sdes import VE, VP, CosineVP, SubVP, terminal
from tests.oracles import LinearGaussian

SDES = [VP(), CosineVP(), SubVP(), VE()]
GRIDS = [solvers.uniform_t_grid, solvers.uniform_log_snr_grid]
pytestmark = pytest.mark.usefixtures("x64")


def decode(sde, solver, grid, steps, n, seed=0):
    """(samples of x_0 given one z, the exact mean and covariance of x_0 given z)."""
    world = LinearGaussian.random(jax.random.key(0))
    z = world.sample(jax.random.key(4), 1)[1][0]
    mean, cov = world.given_z(z)
    # p(x_0 | z) is a linear-Gaussian world of its own, and its score (test_scores: the one that Bayes' rule gives) is cheap.
    score = world._replace(m=mean, C=cov).marginal_score(sde)
    k1, k2 = jax.random.split(jax.random.key(seed))
    x_T = terminal(sde, normal(keys_of(k1, jnp.arange(n)), jnp.zeros((n, 3))))
    x = solvers.integrate(solver(sde, score), keys_of(k2, jnp.arange(n)), x_T, grid(sde, steps))
    return solvers.denoise(sde, score, x, sde.t_min), (mean, cov)


@pytest.mark.parametrize("solver", [solvers.euler_maruyama, solvers.ddim])
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_decoding_reaches_the_conditional_in_mean_and_covariance(sde, solver):
    n = 10_000
    x, (mean, cov) = jax.jit(lambda: decode(sde, solver, solvers.uniform_t_grid, 500, n))()
    scale = float(jnp.sqrt(jnp.trace(cov)))
    # Four standard errors of n draws, and 3 percent for 500 steps.
    np.testing.assert_allclose(x.mean(0), mean, atol=(4 / np.sqrt(n) + 0.03) * scale)
    np.testing.assert_allclose(np.cov(np.asarray(x).T), cov, atol=(4 * np.sqrt(2 / n) + 0.03) * scale**2)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_grids_run_from_T_to_t_min(sde, grid):
    times = np.asarray(grid(sde, 7))
    assert times.shape == (8,)
    assert times[0] == sde.T
    assert times[-1] == sde.t_min
    assert np.all(np.diff(times) < 0)


@pytest.mark.parametrize("sde", [VP(), CosineVP()], ids=str)
def test_ddim_is_of_first_order(sde):
    """The end point for a fixed x_T against a very fine grid: the error falls as 1 / steps."""
    steps = np.array([64, 128, 256])
    run = jax.jit(lambda n: decode(sde, solvers.ddim, solvers.uniform_log_snr_grid, n, 8)[0], static_argnums=0)
    fine = run(8192)
    errors = [float(jnp.abs(run(int(n)) - fine).max()) for n in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert -1.2 < slope < -0.8, errors


def test_ddim_with_the_true_noise_is_exact_in_one_step():
    """If eps_hat does not change on the way, DDIM lands on alpha' x_0 + sigma' eps."""
    sde = VP()
    x_0, eps = jax.random.normal(jax.random.key(0), (2, 5, 3))
    t, t_next = jnp.full(5, 0.9), jnp.full(5, 0.3)
    step = solvers.ddim(sde, lambda x, t: scores.score_of_noise(sde, eps, t))
    x = step(
        keys_of(jax.random.key(1), jnp.arange(5)), sde.alpha(t)[:, None] * x_0 + sde.sigma(t)[:, None] * eps, t, t_next
    )
    np.testing.assert_allclose(x, sde.alpha(t_next)[:, None] * x_0 + sde.sigma(t_next)[:, None] * eps, atol=1e-12)


def test_ddim_upwards_inverts_ddim_downwards():
    world, sde = LinearGaussian.random(jax.random.key(0)), VP()
    x_0, _ = world.sample(jax.random.key(1), 16)
    keys = keys_of(jax.random.key(2), jnp.arange(16))
    step, down = solvers.ddim(sde, world.marginal_score(sde)), solvers.uniform_log_snr_grid(sde, 2000)
    x_T = solvers.integrate(step, keys, x_0, down[::-1])
    np.testing.assert_allclose(solvers.integrate(step, keys, x_T, down), x_0, atol=2e-2)


def test_a_decoding_does_not_depend_on_its_company():
    sde, score = VP(), lambda x, t: -x
    x, index = jnp.ones((6, 3)), jnp.arange(6)
    run = lambda rows: solvers.integrate(
        solvers.euler_maruyama(sde, score),
        keys_of(jax.random.key(0), index[rows]),
        x[rows],
        solvers.uniform_t_grid(sde, 5),
    )
    np.testing.assert_array_equal(run(slice(0, 6))[2:4], run(slice(2, 4)))
