"""The adaptive probability-flow ODE against the closed-form flow of Gaussians, and what becomes of examples that fail."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import keys_of
from sde_vae.diffusion.scores import bayes
from sde_vae.diffusion.sdes import VP, diffuse
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.heun import heun
from sde_vae.solvers.ode import angle, flow, integrate_adaptive, ode, radius
from sde_vae.solvers.step import integrate
from tests.helpers.oracles import LinearGaussian, Mixture
from tests.helpers.rarely import SDES
from tests.helpers.small import SDE, image_batch, image_methods

N, TOLERANCE, STEPS = 8, 1e-6, 60


def probability_flow(sde, score, x, t):
    """dx / dt = f x - g^2 / 2 s, in the coordinates x and t."""
    return sde.f(t)[:, None] * x - 0.5 * jnp.square(sde.g(t))[:, None] * score(x, t)


def mixture():
    means = jnp.array([[1.2, 0.3], [-0.9, 1.0], [0.1, -1.2]])
    return Mixture(jnp.array([0.3, 0.4, 0.3]), means, 0.04, jnp.array([[1.0, 0.5]]), 0.3)


def keys(n):
    return keys_of(jax.random.key(1), jnp.arange(n))


def parameters(method):
    """Random ones of every leaf, drawn by numpy: initialisers take long to compile."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(method.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(0.2 * rng.standard_normal(a.shape), a.dtype), shapes)


def noisy(world, sde, n):
    """x at t_min."""
    x_0, _ = world.sample(jax.random.key(2), n)
    return diffuse(sde, x_0, jnp.full(n, sde.t_min), jax.random.normal(jax.random.key(3), x_0.shape))


def move(solver, sde, score, x, times):
    return integrate(solver(sde, score), keys(len(x)), x, times)


@functools.cache
def conditioned(sde):
    """(solve(x, times), x at t_min, means [N, 3], cov): Bayes' score, with a z of its own for every example."""
    w = LinearGaussian.random(jax.random.key(0))
    x_0, z = w.sample(jax.random.key(2), N)
    score = bayes(w.marginal_score(sde), w.log_likelihood(sde, z))
    solve = jax.jit(lambda x, times: move(ode(TOLERANCE, TOLERANCE, STEPS), sde, score, x, times))
    x = diffuse(sde, x_0, jnp.full(N, sde.t_min), jax.random.normal(jax.random.key(3), x_0.shape))
    return solve, x, jax.vmap(lambda z: w.given_z(z)[0])(z), w.given_z(z[0])[1]


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

    @jax.jit
    def both(x):
        slope = lambda function: jax.jvp(lambda t: function(sde, t), (t,), (jnp.ones(n),))
        (r, dr), (_, dphi) = slope(radius), slope(angle)
        y = x / r[:, None]
        v = flow(sde, w.marginal_score(sde))(y, t)
        return dr[:, None] * y + (r * dphi)[:, None] * v, probability_flow(sde, w.marginal_score(sde), x, t)

    found, expected = both(x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * float(jnp.abs(expected).max()))


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_it_is_the_exact_flow_both_ways_and_undoes_itself(sde, x64):
    solve, x, means, cov = conditioned(sde)
    low, high = sde.t_min, sde.T
    # Three stops, the last interval of no length at first: one program for all.
    x_T = solve(x, jnp.array([low, high, high]))
    back = solve(x_T, jnp.array([high, low, low]))
    upwards, downwards = (error_bound(sde, cov, *ends, largest(sde, x, x_T)) for ends in ((low, high), (high, low)))
    np.testing.assert_allclose(x_T, exact_flow(sde, x, means, cov, low, high), atol=upwards, rtol=0)
    np.testing.assert_allclose(back, exact_flow(sde, x_T, means, cov, high, low), atol=downwards, rtol=0)
    values = np.linalg.eigvalsh(cov)
    shrink = np.max(scales(sde, values, low)[2] / scales(sde, values, high)[2])
    closed = downwards + np.sqrt(3) * shrink * upwards
    np.testing.assert_allclose(back, x, atol=closed, rtol=0)
    np.testing.assert_allclose(solve(x, jnp.array([low, high, low])), back, atol=1e-12)
    # A stop on the way changes nothing but the error.
    halfway = float(sde.t_of_log_snr(jnp.zeros(1))[0])
    np.testing.assert_allclose(solve(x, jnp.array([low, halfway, high])), x_T, atol=3 * upwards, rtol=0)


def test_the_error_is_proportional_to_the_tolerance(x64):
    """Steps h are chosen such that the error estimate, of order h^5, is the tolerance; the error at the end is O(h^5) too.

    The factor between the two varies with where the steps fall, hence many decades of tolerance.
    """
    sde, w, n = VP(), mixture(), 128
    velocity = flow(sde, w.marginal_score(sde))
    low, high = jnp.full(n, sde.t_min), jnp.full(n, sde.T)
    y = noisy(w, sde, n) / radius(sde, low)[:, None]
    solve = jax.jit(lambda y, t, t_next, tol: integrate_adaptive(sde, velocity, y, t, t_next, tol, tol, 1000))
    for start, t, t_next in ((y, low, high), (jax.random.normal(jax.random.key(3), (n, 2)), high, low)):
        exact, tolerances = solve(start, t, t_next, 1e-12), [1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9]
        errors = [float(jnp.sqrt(jnp.mean((solve(start, t, t_next, tol) - exact) ** 2))) for tol in tolerances]
        assert np.all(np.diff(errors) < 0), errors
        slope = np.polyfit(np.log(tolerances), np.log(errors), 1)[0]
        assert 0.8 < slope < 1.2, (slope, errors)


def test_neither_company_nor_its_failure_changes_an_example(x64):
    """A score that is not finite beyond a circle, which some examples meet on their way and others do not; its calls are counted."""
    sde, w, calls = VP(), mixture(), []
    x, z = noisy(w, sde, 6), w.sample(jax.random.key(5), 6)[1]

    @jax.jit
    def run(x, z, radius):
        conditional = bayes(w.marginal_score(sde), w.log_likelihood(sde, z))

        def score(x, t):
            jax.debug.callback(lambda: calls.append(None))
            return jnp.where(jnp.linalg.norm(x, axis=1, keepdims=True) > radius, jnp.nan, conditional(x, t))

        return move(ode(), sde, score, x, jnp.array([sde.t_min, sde.T]))

    def counted(*args):
        calls.clear()
        found = np.asarray(run(*args))
        jax.effects_barrier()
        return found, len(calls)

    together, needed = counted(x, z, np.inf)
    assert np.isfinite(together).all()
    # Once to begin and six times a step, on the whole batch at once.
    assert needed % 6 == 1
    # Of rounding, far less than of the tolerance of 1e-4: other sizes of a batch are compiled into other sums.
    np.testing.assert_allclose(run(x[2:4], z[2:4], np.inf), together[2:4], atol=1e-10)
    np.testing.assert_allclose(run(x[::-1], z[::-1], np.inf)[::-1], together, atol=1e-10)
    np.testing.assert_array_equal(run(x.at[0].mul(30), z, np.inf)[1:], together[1:])

    # Beyond the middle of where they end: half of them fail, soon, and the others had better not have noticed.
    found, calls_made = counted(x, z, float(np.median(np.linalg.norm(together, axis=1))))
    failed = np.isnan(found).any(axis=1)
    assert 3 <= failed.sum() < 6
    assert np.isnan(found[failed]).all()
    assert failed[np.linalg.norm(together, axis=1) > np.median(np.linalg.norm(together, axis=1))].all()
    # A stage beyond the circle makes a step be tried again, shorter: the error is that of other steps.
    np.testing.assert_allclose(found[~failed], together[~failed], atol=1e-2)
    assert calls_made < 6 * 1000 / 10
    found, calls_made = counted(x.at[0].set(jnp.nan), z, np.inf)
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1:], together[1:])
    assert calls_made <= needed + 6 * 5


def test_who_needs_more_steps_than_allowed_is_nan(x64):
    """v = 0 takes the fewest steps, ten times longer each; v = sin(100 phi) has to follow 25 turns."""
    sde, n = VP(), 3
    turns = jnp.array([[0.0], [0.0], [100.0]])
    rate = lambda y, t: jnp.sin(turns * angle(sde, t)[:, None])
    low, high = jnp.full(n, sde.t_min), jnp.full(n, sde.T)
    y = jax.jit(lambda y: integrate_adaptive(sde, rate, y, low, high, 1e-6, 1e-6, 10))(jnp.ones((n, 1)))
    np.testing.assert_array_equal(y, [[1.0], [1.0], [np.nan]])


def test_the_program_calls_nothing_outside(x64):
    """A callback would keep it out of the persistent compilation cache."""
    sde, score = VP(), mixture().marginal_score(VP())
    run = jax.jit(lambda x: move(ode(), sde, score, x, jnp.array([sde.t_min, sde.T])))
    assert "callback" not in run.lower(jnp.ones((2, 2))).as_text()


def test_a_network_is_solved_as_by_many_steps_of_heun():
    """In float32 under jit, given z: through the gradient of an encoder with convolutions."""
    prior, vae = image_methods()
    frozen, params = {"prior": parameters(prior)}, parameters(vae)
    x = image_batch(4).x
    z = jax.jit(vae.encode)(params, frozen, x).mean

    @jax.jit
    def decode(params, frozen, z, x):
        score = vae.score(params, frozen, z)
        fine = move(heun(), SDE, score, x, uniform_log_snr(SDE, 400))
        return move(ode(), SDE, score, x, jnp.array([SDE.T, SDE.t_min])), fine

    found, fine = decode(params, frozen, z, x)
    assert found.shape == x.shape
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, fine, atol=1e-2)
