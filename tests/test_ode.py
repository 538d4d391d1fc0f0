"""The adaptive probability-flow ODE against the closed-form flow of Gaussians, and what becomes of examples that fail."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import keys_of
from sde_vae.scores import bayes
from sde_vae.sdes import VE, VP, CosineVP, SubVP, diffuse
from sde_vae.solvers.evaluations import count
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.heun import heun
from sde_vae.solvers.ode import angle, flow, ode, probability_flow, radius
from sde_vae.solvers.step import integrate
from tests.oracles import LinearGaussian, Mixture
from tests.small import SDE, awake, image_batch, image_methods

SDES = [VP(), CosineVP(), SubVP(), VE()]
N, TOLERANCE, STEPS = 8, 1e-6, 60


def linear():
    return LinearGaussian.random(jax.random.key(0))


def mixture():
    means = jnp.array([[1.2, 0.3], [-0.9, 1.0], [0.1, -1.2]])
    return Mixture(jnp.array([0.3, 0.4, 0.3]), means, 0.04, jnp.array([[1.0, 0.5]]), 0.3)


def keys(n):
    return keys_of(jax.random.key(1), jnp.arange(n))


def both_ends(sde):
    """The grids of one interval: (up, down)."""
    up = jnp.array([sde.t_min, sde.T])
    return up, up[::-1]


def noisy(world, sde, n):
    """x at t_min."""
    x_0, _ = world.sample(jax.random.key(2), n)
    return diffuse(sde, x_0, jnp.full(n, sde.t_min), jax.random.normal(jax.random.key(3), x_0.shape))


def move(solver, sde, score, x, times):
    return integrate(solver(sde, score), keys(len(x)), x, times)


@functools.cache
def conditioned(sde, given):
    """(solve(x, times), x at t_min, means [N, 3], cov): the prior's score, or Bayes' with a z of its own for every example."""
    w = linear()
    x_0, z = w.sample(jax.random.key(2), N)
    score, means, cov = w.marginal_score(sde), jnp.broadcast_to(w.m, x_0.shape), w.C
    if given:
        score = bayes(score, w.log_likelihood(sde, z))
        means, cov = jax.vmap(lambda z: w.given_z(z)[0])(z), w.given_z(z[0])[1]
    solver = ode(TOLERANCE, TOLERANCE, STEPS)
    solve = jax.jit(lambda x, times: move(solver, sde, score, x, times))
    return solve, diffuse(sde, x_0, jnp.full(N, sde.t_min), jax.random.normal(jax.random.key(3), x_0.shape)), means, cov


def scales(sde, values, t):
    """alpha, r, and the deviations [3] of x_t in the eigenbasis of the covariance of x_0."""
    a, s = (float(f(jnp.full(1, t))[0]) for f in (sde.alpha, sde.sigma))
    return a, np.hypot(a, s), np.sqrt(a**2 * values + s**2)


def exact_flow(sde, x, means, cov, t, t_next):
    values, U = np.linalg.eigh(cov)
    (a, _, deviation), (a_next, _, deviation_next) = scales(sde, values, t), scales(sde, values, t_next)
    return a_next * means + (x - a * means) @ (U * (deviation_next / deviation)) @ U.T


def error_bound(sde, cov, t, t_next, largest):
    """Of x at t_next: STEPS local errors of at most TOLERANCE (1 + |y|), each carried to the end by the exact flow of y = x / r."""
    values = np.linalg.eigvalsh(cov)
    _, r, deviation = scales(sde, values, t_next)
    on_the_way = [scales(sde, values, s) for s in np.asarray(uniform_log_snr(sde, 100))]
    carried = max(np.max((deviation / r) / (deviation_s / r_s)) for _, r_s, deviation_s in on_the_way)
    return r * carried * STEPS * TOLERANCE * (1 + largest) * np.sqrt(3)


def largest(sde, x, x_T):
    """A bound of |y| on the way: each component of the flow moves between its ends but for the mean, which is under 1."""
    return 1 + max(float(jnp.abs(x).max() / radius(sde, jnp.full(1, t))[0]) for x, t in ((x, sde.t_min), (x_T, sde.T)))


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_flow_that_is_solved_is_that_of_eq_13(sde, x64):
    """x = r y: dx / dt = r' y + r v phi'."""
    n, w = 64, mixture()
    t = jnp.linspace(sde.t_min, sde.T, n)
    x = diffuse(sde, w.sample(jax.random.key(2), n)[0], t, jax.random.normal(jax.random.key(3), (n, 2)))
    slope = lambda function: jax.jvp(lambda t: function(sde, t), (t,), (jnp.ones(n),))
    (r, dr), (_, dphi) = slope(radius), slope(angle)
    y = x / r[:, None]
    v = flow(sde, w.marginal_score(sde))(y, t)
    expected = probability_flow(sde, w.marginal_score(sde))(x, t)
    scale = float(jnp.abs(expected).max())
    np.testing.assert_allclose(dr[:, None] * y + (r * dphi)[:, None] * v, expected, atol=1e-9 * scale)


@pytest.mark.parametrize("given", [False, True], ids=["prior", "given z"])
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_it_is_the_exact_flow_both_ways_and_undoes_itself(sde, given, x64):
    solve, x, means, cov = conditioned(sde, given)
    up, down = both_ends(sde)
    x_T = solve(x, up)
    back = solve(x_T, down)
    upwards, downwards = (error_bound(sde, cov, a, b, largest(sde, x, x_T)) for a, b in (up, down))
    np.testing.assert_allclose(x_T, exact_flow(sde, x, means, cov, *up), atol=upwards, rtol=0)
    np.testing.assert_allclose(back, exact_flow(sde, x_T, means, cov, *down), atol=downwards, rtol=0)
    values = np.linalg.eigvalsh(cov)
    shrink = np.max(scales(sde, values, sde.t_min)[2] / scales(sde, values, sde.T)[2])
    np.testing.assert_allclose(back, x, atol=downwards + np.sqrt(3) * shrink * upwards, rtol=0)


def test_stops_on_the_way_change_nothing_but_the_error(x64):
    sde = VP()
    solve, x, means, cov = conditioned(sde, True)
    x_T = solve(x, uniform_log_snr(sde, 4)[::-1])
    bound = 4 * error_bound(sde, cov, sde.t_min, sde.T, largest(sde, x, x_T))
    np.testing.assert_allclose(x_T, exact_flow(sde, x, means, cov, sde.t_min, sde.T), atol=bound, rtol=0)


@pytest.mark.parametrize("direction", [0, 1], ids=["up", "down"])
def test_the_error_is_proportional_to_the_tolerance(direction, x64):
    """Steps h are chosen such that h^5, the error estimate, is the tolerance; the error of the order-5 solution is O(h^5)."""
    sde, w, n = VP(), mixture(), 128
    x = noisy(w, sde, n) if direction == 0 else jax.random.normal(jax.random.key(3), (n, 2))
    times = both_ends(sde)[direction]
    at = lambda tol: jax.jit(lambda x: move(ode(tol, tol), sde, w.marginal_score(sde), x, times))(x)
    exact, tolerances = at(1e-10), [1e-3, 1e-4, 1e-5, 1e-6]
    errors = [float(jnp.sqrt(jnp.mean((at(tol) - exact) ** 2))) for tol in tolerances]
    assert np.all(np.diff(errors) < 0), errors
    slope = np.polyfit(np.log(tolerances), np.log(errors), 1)[0]
    assert 0.8 < slope < 1.2, (slope, errors)


def test_an_example_does_not_depend_on_its_company(x64):
    """Nor on an example that is harder, nor on one that fails: the steps are its own."""
    sde, w = VP(), mixture()
    x = noisy(w, sde, 6)
    z = w.sample(jax.random.key(5), 6)[1]

    @jax.jit
    def run(x, z):
        score = bayes(w.marginal_score(sde), w.log_likelihood(sde, z))
        return move(ode(1e-4, 1e-4), sde, score, x, both_ends(sde)[0])

    together = run(x, z)
    # Far less than the error of 1e-4: rounding, as batches of other sizes are compiled into other sums.
    np.testing.assert_allclose(run(x[2:4], z[2:4]), together[2:4], atol=1e-10)
    np.testing.assert_allclose(run(x[3:4], z[3:4]), together[3:4], atol=1e-10)
    np.testing.assert_allclose(run(x[::-1], z[::-1])[::-1], together, atol=1e-10)
    np.testing.assert_array_equal(run(x.at[0].mul(30), z)[1:], together[1:])
    nothing = run(x.at[0].set(jnp.nan), z)
    assert bool(jnp.isnan(nothing[0]).all())
    np.testing.assert_array_equal(nothing[1:], together[1:])


def test_an_example_that_fails_is_nan_soon_and_alone(x64):
    """A score that is not finite beyond a circle, which some examples cross on their way down and others do not."""
    sde, w, n = VP(), mixture(), 16
    x_T = jax.random.normal(jax.random.key(3), (n, 2))
    down = both_ends(sde)[1]
    sound = w.marginal_score(sde)
    broken = lambda x, t: jnp.where(jnp.linalg.norm(x, axis=1, keepdims=True) > 1.3, jnp.nan, sound(x, t))
    expected = jax.jit(lambda x: move(ode(), sde, sound, x, down))(x_T)
    found = jax.jit(lambda x: move(ode(), sde, broken, x, down))(x_T)
    failed = np.isnan(found).any(axis=1)
    assert 0 < failed.sum() < n
    # Who ends outside must have failed; nobody is stopped half-way, and who has come through is where he would have been.
    assert failed[np.linalg.norm(expected, axis=1) > 1.3].all()
    assert np.isnan(found[failed]).all()
    # The stages of a step may be refused beyond the circle, so the steps need not be the same: the error is the solver's.
    np.testing.assert_allclose(found[~failed], expected[~failed], atol=1e-2)
    of = lambda score, x: count(lambda score: move(ode(), sde, score, x, down), score)
    assert of(broken, x_T) < 4 * of(sound, x_T)
    assert of(sound, x_T.at[3].set(jnp.nan)) == of(sound, x_T.at[3].set(0.0))


def test_who_needs_more_steps_than_allowed_is_nan(x64):
    sde, w, n = VP(), mixture(), 16
    x, up = noisy(w, sde, n), both_ends(sde)[0]
    run = lambda most: jax.jit(lambda x: move(ode(1e-6, 1e-6, most), sde, w.marginal_score(sde), x, up))(x)
    enough, most = run(1000), 1000
    while not (short := np.isnan(run(most)).any(axis=1)).any():
        most = (most + 1) // 2 if most > 32 else most - 1
    found = run(most)
    assert np.isnan(found[short]).all()
    np.testing.assert_array_equal(found[~short], enough[~short])


def test_the_score_is_evaluated_on_the_batch_six_times_a_step_and_once_to_begin(x64):
    sde, w = VP(), mixture()
    x = noisy(w, sde, 1)
    run = lambda x: count(lambda score: move(ode(), sde, score, x, both_ends(sde)[0]), w.marginal_score(sde))
    alone = run(x)
    assert alone % 6 == 1
    assert run(jnp.tile(x, (5, 1))) == alone


def test_the_program_calls_nothing_outside(x64):
    """A callback would keep it out of the persistent compilation cache."""
    sde, score = VP(), mixture().marginal_score(VP())
    run = jax.jit(lambda x: move(ode(), sde, score, x, both_ends(sde)[0]))
    assert "callback" not in run.lower(jnp.ones((2, 2))).as_text()


@pytest.mark.parametrize("given", [False, True], ids=["prior", "given z"])
def test_networks_are_solved_as_by_many_steps_of_heun(given):
    """In float32 under jit; given z, through the gradient of an encoder with convolutions."""
    prior, vae = image_methods()
    frozen = awake(prior.init(jax.random.key(0)))
    params = awake(vae.init(jax.random.key(1)), 0.02)
    x = image_batch(4).x
    z = vae.encode(params, frozen, x).mean

    def run(solver, grid):
        def decode(params, frozen, z, x):
            score = vae.score(params, frozen, z) if given else prior.score(frozen, None, None)
            return move(solver, SDE, score, x, grid)

        return jax.jit(decode)(params, frozen, z, x)

    found, fine = run(ode(), both_ends(SDE)[1]), run(heun(), uniform_log_snr(SDE, 400))
    assert found.shape == x.shape
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, fine, atol=1e-2)
