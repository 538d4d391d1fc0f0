"""Conditional estimators on Gaussians: their minimisers, the identities between them, and the laws that they sample."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import keys_of
from sde_vae.diffusion.losses import joint_denoising
from sde_vae.diffusion.scores import noise_of_score
from sde_vae.diffusion.sdes import VE, VP, log_snr_range, log_snr_rate
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr, times_uniform_in_t
from sde_vae.diffusion.weights import likelihood_weighting
from sde_vae.methods.conditional import cde, cmde, constant_speed, diffused, joined, reduced_speed
from sde_vae.methods.prior import predicts_noise
from sde_vae.metrics.sets.posterior_fidelity import posterior_fidelity
from sde_vae.nets.network import Network
from sde_vae.solvers.exponential import ddim, dpm_solver_pp_2m
from sde_vae.solvers.grids import uniform_log_snr, uniform_t
from sde_vae.solvers.heun import heun
from sde_vae.solvers.step import integrate
from sde_vae.solvers.stochastic import ancestral, euler_maruyama
from sde_vae.types import Batch, Condition
from tests.helpers.chains import chains
from tests.helpers.joint_gaussian import Identity, JointGaussian
from tests.helpers.oracles import LinearGaussian
from tests.helpers.rarely import rarely

pytestmark = pytest.mark.usefixtures("x64")

WORLD = JointGaussian(LinearGaussian.random(jax.random.key(5)))
D, N = 3, 512
VP_, VE_ = VP(), VE(0.05, 20.0, t_min=1e-3)
SLOW = {VP_: VP(beta_max=3.0), VE_: VE(0.05, 1.0, t_min=1e-3)}
SDES = pytest.mark.parametrize("sde", SLOW, ids=["vp", "ve"])
RARELY_VE = pytest.mark.parametrize("sde", [VP_, *rarely(VE_)], ids=["vp", "ve"])
FEATURES = 7
SOLVERS = {"ancestral": ancestral, "ddim": ddim(), "heun": heun(), "dpm_solver_pp_2m": dpm_solver_pp_2m()}


def features(x, y, t):
    """What an imperfect network adds to the exact noise, linearly in its parameters: [batch, FEATURES]."""
    return jnp.concatenate([x, y, jnp.tanh(x[:, :1] * y[:, :1]), t[:, None]], axis=1)


def unscaled(sde, x, t):
    return x * jnp.sqrt(sde.alpha(t) ** 2 + sde.sigma(t) ** 2)[:, None]


def exact_cde(sde, scale=1.0):
    """CDE whose network is `scale` times the exact noise, plus params . features."""

    def apply(params, inputs, log_snr, keys):
        t = sde.t_of_log_snr(log_snr)
        x, y = unscaled(sde, inputs[:, :D], t), inputs[:, D:]
        exact = noise_of_score(sde, WORLD.data.conditional_score(sde, y)(x, t), t)
        return scale * exact + features(x, y, t) @ params

    network = Network(lambda key: jnp.zeros((FEATURES, D)), apply)
    return cde(
        sde,
        WORLD.observe(),
        Identity(),
        network,
        predicts_noise,
        times_uniform_in_log_snr(sde, N),
        likelihood_weighting(),
    )


def exact_cmde(sde, y_sde, scale=1.0):
    """CMDE whose network is `scale` times the exact noise of x and y, plus params . features."""

    def apply(params, inputs, log_snr, keys, z):
        t = sde.t_of_log_snr(log_snr)
        x, y = unscaled(sde, inputs[:, :D], t), unscaled(y_sde, inputs[:, D:], t)
        of_x, of_y = WORLD.score(sde, y_sde, x, y, t)
        exact = jnp.concatenate([noise_of_score(sde, of_x, t), noise_of_score(y_sde, of_y, t)], axis=1)
        return scale * exact + features(x, y, t) @ params

    network = Network(lambda key: jnp.zeros((FEATURES, D + 2)), apply)
    times, weight = times_uniform_in_log_snr(sde, N), likelihood_weighting()
    return cmde(sde, constant_speed(y_sde), WORLD.observe(), Identity(), network, predicts_noise, times, weight)


def of_batches(method, function, draws=40):
    """function(params, key, batch) of many batches of data."""
    params = method.init(jax.random.key(0))

    def one(key):
        key_x, key = jax.random.split(key)
        return function(params, key, Batch(WORLD.data.sample(key_x, N)[0], jnp.arange(N)))

    return jax.tree.map(
        np.asarray, jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(7), draws))
    )


def least_loss(sde, y_sde=None, points=1001):
    """1/2 int E || eps - E[eps | x_t, y or y_t] ||^2 dl over x's coordinates, and over y's with y's own dl: two numbers."""
    low, high = log_snr_range(sde)
    levels = jnp.linspace(low, high, points)

    def at(t):
        clean = y_sde is None
        _, cov = WORLD.at(sde, VE(1e-9, 2e-9) if clean else y_sde, t)
        precision = jnp.diag(jnp.linalg.inv(cov))
        of_x = D - sde.sigma(t[None])[0] ** 2 * precision[:D].sum()
        if clean:
            return jnp.stack([of_x, 0.0])
        ratio = (log_snr_rate(y_sde, t[None]) / log_snr_rate(sde, t[None]))[0]
        return jnp.stack([of_x, ratio * (len(cov) - D - y_sde.sigma(t[None])[0] ** 2 * precision[D:].sum())])

    errors = np.asarray(jax.jit(jax.vmap(at))(sde.t_of_log_snr(levels)))
    return 0.5 * np.trapezoid(errors, np.asarray(levels), axis=0)


def deviation(values, expected):
    """Standard errors between the mean of independent values and what is expected."""
    values = np.asarray(values)
    return np.abs((values.mean(0) - expected) / (values.std(0, ddof=1) / np.sqrt(len(values))))


@RARELY_VE
def test_at_the_exact_scores_the_losses_have_the_least_value_in_closed_form(sde):
    """Within 4 standard errors of 40 batches, which are under 1 percent; with seven tenths of the exact noise it is above that."""
    loss = lambda method: of_batches(method, lambda p, key, batch: method.loss(p, {}, key, batch)[1])
    found, wanted = loss(exact_cde(sde))["loss"], least_loss(sde)[0]
    assert deviation(found, wanted) < 4
    assert found.std() / np.sqrt(len(found)) < 0.01 * wanted
    assert deviation(loss(exact_cde(sde, 0.7))["loss"], wanted) > 10
    found, wanted = loss(exact_cmde(sde, SLOW[sde])), least_loss(sde, SLOW[sde])
    assert deviation(np.stack([found["loss/x"], found["loss/y"]], axis=1), wanted).max() < 4


@RARELY_VE
def test_there_the_losses_are_stationary(sde):
    """In every direction that a network adds, within 4.5 standard errors; at eight tenths of the exact noise they are not."""
    for make in (exact_cde, lambda sde, scale: exact_cmde(sde, SLOW[sde], scale)):
        gradient = lambda method: of_batches(
            method, lambda p, key, batch: jax.grad(lambda p: method.loss(p, {}, key, batch)[0])(p)
        )
        assert deviation(gradient(make(sde, 1.0)), 0).max() < 4.5
        assert deviation(gradient(make(sde, 0.8)), 0).max() > 10


def test_with_little_noise_in_y_cmdes_loss_in_x_is_cdes():
    """The same draws and a network that ignores y's level: equal to 1e-5, and without noise to rounding."""
    batch, key = Batch(WORLD.data.sample(jax.random.key(2), 64)[0], jnp.arange(64)), jax.random.key(3)
    params = jax.random.normal(jax.random.key(4), (5, 5))
    of_x = Network(lambda key: params[:, :D], lambda p, inputs, l, keys: jnp.tanh(inputs) @ p)
    both = Network(lambda key: params, lambda p, inputs, l, keys, z: jnp.tanh(inputs) @ p)
    rest = predicts_noise, times_uniform_in_log_snr(VE_, 64), likelihood_weighting()
    clean = cde(VE_, WORLD.observe(), Identity(), of_x, *rest).loss(params[:, :D], {}, key, batch)[1]["loss"]
    for sigma, far in ((1e-2, 1e-1), (1e-7, 1e-5)):
        noisy = cmde(VE_, constant_speed(VE(sigma, 2 * sigma)), WORLD.observe(), Identity(), both, *rest)
        found = noisy.loss(params, {}, key, batch)[1]["loss/x"]
        np.testing.assert_allclose(found, clean, rtol=far)


def test_the_reduced_speed_goes_from_xs_sde_to_ys_own():
    speed, t = reduced_speed(VE_, SLOW[VE_], steps=10), jnp.linspace(0.0, 1.0, 5)
    for step, sde in ((0, VE_), (10, SLOW[VE_]), (99, SLOW[VE_]), (None, SLOW[VE_])):
        np.testing.assert_allclose(speed(step).sigma(t), sde.sigma(t), rtol=1e-12)
    np.testing.assert_allclose(speed(5).sigma(t), jnp.sqrt(VE_.sigma(t) * SLOW[VE_].sigma(t)), rtol=1e-12)


def test_the_error_of_a_noisy_condition_falls_to_zero_with_its_noise():
    """E || grad log p(x_t | y_t) - grad log p(x_t | y) ||^2 (arXiv:2111.13606), by the joint law of both scores; monotone in sigma_y."""
    t, errors = jnp.array(0.5), []
    for sigma_max in (20.0, 5.0, 1.0, 0.3, 0.1, 1e-2, 1e-4):
        y_sde = VE(sigma_max / 10, sigma_max)
        key_x, key_eps, key_y = jax.random.split(jax.random.key(1), 3)
        x_0, y = WORLD.data.sample(key_x, 4000)
        at = jnp.full(len(x_0), t)
        x = VE_.alpha(at)[:, None] * x_0 + VE_.sigma(at)[:, None] * jax.random.normal(key_eps, x_0.shape)
        y_t = y + y_sde.sigma(at)[:, None] * jax.random.normal(key_y, y.shape)
        exact, noisy = WORLD.data.conditional_score(VE_, y)(x, at), WORLD.score(VE_, y_sde, x, y_t, at)[0]
        errors.append(float(jnp.sum((exact - noisy) ** 2, axis=1).mean()))
        # The noisy score is the mean of the exact one given (x_t, y_t), so that the error is the difference of their variances.
        precision = lambda of_y: jnp.trace(jnp.linalg.inv(WORLD.at(VE_, of_y, t)[1])[:D, :D])
        np.testing.assert_allclose(errors[-1], precision(VE(1e-9, 2e-9)) - precision(y_sde), rtol=0.1, atol=1e-7)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6 * errors[0]


def test_the_noise_of_y_is_new_at_every_time_and_that_of_its_example():
    condition = Condition(jnp.zeros((4000, 2)), None, jnp.arange(4000, dtype=jnp.uint32))
    at = lambda t: np.asarray(diffused(VP_, condition, jnp.full(4000, t)) / float(VP_.sigma(jnp.full(1, t))[0]))
    a, b = at(0.5), at(0.50001)
    np.testing.assert_array_equal(a, at(0.5))
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(a[1:].ravel(), a[:-1].ravel())[0, 1]) < 0.05
    np.testing.assert_allclose([a.mean(), a.std()], [0, 1], atol=0.05)
    one = Condition(condition.y[7:8], None, condition.seed[7:8])
    np.testing.assert_allclose(
        diffused(VP_, one, jnp.full(1, 0.5)), VP_.sigma(jnp.full(1, 0.5))[0] * a[7:8], rtol=1e-12
    )


def moments_of_euler(score_at, noise_of_y, grid, sde):
    """The mean and covariance at the end of Euler-Maruyama's steps for a score c + B x + D y_t; `noise_of_y` is y_t's variance."""
    d = D
    mean, cov = jnp.zeros(d), sde.sigma(jnp.full(1, sde.T))[0] ** 2 * jnp.eye(d)
    for t, after in pairwise(grid):
        dt, f, g2 = after - t, sde.f(t[None])[0], sde.g(t[None])[0] ** 2
        c, B, of_y = score_at(t)
        step = jnp.eye(d) + dt * (f * jnp.eye(d) - g2 * B)
        mean = step @ mean - dt * g2 * c
        cov = step @ cov @ step.T - dt * g2 * jnp.eye(d) + (dt * g2) ** 2 * noise_of_y(t) * of_y @ of_y.T
    return mean, cov


@SDES
@pytest.mark.parametrize("kind", ["cde", "cmde", "cdiffe"])
def test_exact_estimators_sample_what_their_scores_say(sde, kind):
    """CDE: p(x | y). The others: the law of their averaged score, by its moments along the same steps, noise of y_t included."""
    y_sde = {"cde": VE(1e-9, 2e-9), "cmde": SLOW[sde], "cdiffe": sde}[kind]
    n, grid = 4000, uniform_t(sde, 100)
    y = jnp.array([0.4, -0.8])
    condition = Condition(jnp.tile(y, (n, 1)), None, jnp.arange(n, dtype=jnp.uint32))
    method = exact_cde(sde) if kind == "cde" else exact_cmde(sde, y_sde)
    score = method.score(method.init(jax.random.key(0)), {}, condition)

    def score_at(t):
        mean, cov = WORLD.at(sde, y_sde, t)
        L = -jnp.linalg.inv(cov)[:D]
        return -L @ mean + L[:, D:] @ (y_sde.alpha(t[None])[0] * y), L[:, :D], L[:, D:]

    mean, cov = moments_of_euler(score_at, lambda t: y_sde.sigma(t[None])[0] ** 2, grid, sde)
    keys = keys_of(jax.random.key(1), jnp.arange(n))
    x_T = sde.sigma(jnp.full(1, sde.T))[0] * jax.random.normal(jax.random.key(2), (n, D))
    x = np.asarray(jax.jit(lambda x: integrate(euler_maruyama(sde, score), keys, x, grid))(x_T))
    error = np.sqrt(np.diag(cov) / n)
    assert np.abs((x.mean(0) - mean) / error).max() < 4
    np.testing.assert_allclose(np.cov(x.T), cov, atol=5 * float(jnp.diag(cov).max()) * np.sqrt(2 / n))
    # CDE reaches the posterior; what the noise of y costs is the distance of the others from it.
    exact_mean, exact_cov = WORLD.data.given_z(y)
    far = float(jnp.linalg.norm(mean - exact_mean) + jnp.linalg.norm(cov - exact_cov))
    assert far < 0.06 if kind == "cde" else far > 0.06


@pytest.mark.parametrize("name", ["ddim", "heun", *rarely("ancestral", "dpm_solver_pp_2m")])
def test_with_small_steps_every_solver_samples_the_averaged_score(name):
    """The noise of y_t is new at each step, so that it averages out: what is left is the law of the solver's chain for E[score | x_t]."""
    make, n, grid = SOLVERS[name], 2000, uniform_log_snr(VE_, 400)
    y_sde, y = SLOW[VE_], jnp.array([0.4, -0.8])
    condition = Condition(jnp.tile(y, (n, 1)), None, jnp.arange(n, dtype=jnp.uint32))
    method = exact_cmde(VE_, y_sde)
    score = method.score(method.init(jax.random.key(0)), {}, condition)

    def averaged(x, t):
        return WORLD.score(VE_, y_sde, x, jnp.tile(y, (len(x), 1)), t)[0]

    (chain,) = chains(make(VE_, averaged), D, [grid])
    start = float(VE_.sigma(jnp.full(1, VE_.T))[0])
    mean, cov = chain.moments(np.zeros(D), start**2 * np.eye(D))
    keys = keys_of(jax.random.key(1), jnp.arange(n))
    x_T = start * jax.random.normal(jax.random.key(2), (n, D))
    x = np.asarray(jax.jit(lambda x: integrate(make(VE_, score), keys, x, grid))(x_T))
    fidelity = posterior_fidelity(x, mean, cov, np.random.default_rng(0))
    assert fidelity.mean < 4 / np.sqrt(n)
    assert fidelity.covariance < 4 * np.sqrt(2 / n)
    # The posterior itself is farther than that: the test sees the difference.
    exact = posterior_fidelity(x, *map(np.asarray, WORLD.data.given_z(y)), np.random.default_rng(0))
    assert exact.mean > 6 / np.sqrt(n)


def test_the_joint_loss_bounds_the_joint_likelihood():
    """-log p(x, y) <= KL(x_T) + KL(y_T) + the loss + E[-log p(x, y | x_eps, y_eps)]: on the mean over data, with little slack."""
    sde, y_sde = VP(t_min=1e-5), VP(beta_max=12.0, t_min=1e-5)
    mean, cov = WORLD.moments()
    entropy = 0.5 * (jnp.linalg.slogdet(cov)[1] + len(mean) * jnp.log(2 * jnp.pi * jnp.e))
    scale = lambda f, g, t: jnp.where(jnp.arange(len(mean)) < D, f(t)[0], g(t)[0])
    T, end = jnp.ones(1), jnp.full(1, sde.t_min)
    a, s = scale(sde.alpha, y_sde.alpha, T), scale(sde.sigma, y_sde.sigma, T)
    # The mean over the data of KL(N(a x_0, s^2) || N(0, s^2)), for the s of the SDE's own end.
    start = 0.5 * jnp.sum(a**2 * (jnp.diag(cov) + mean**2) / s**2)
    a, s = scale(sde.alpha, y_sde.alpha, end), scale(sde.sigma, y_sde.sigma, end)
    finish = 0.5 * jnp.sum(jnp.log(2 * jnp.pi * jnp.e * (s / a) ** 2))
    bound = float(start + finish + least_loss(sde, y_sde, points=8001).sum())
    assert 0 < bound - float(entropy) < 0.02


def test_a_hidden_pixel_is_no_coordinate():
    """Its noise and its error count nothing, whatever the network says there."""
    mask = jnp.tile(jnp.array([1.0, 0.0]), (8, 1))
    batch = Batch(jnp.ones((8, D)), jnp.arange(8))
    condition = Condition(mask * 0.3, mask, jnp.arange(8, dtype=jnp.uint32))
    loss = lambda wrong: partial(joint_denoising, VP_, SLOW[VP_])(
        lambda x, y, t: (x, y + wrong * jnp.array([[0.0, 1.0]])),
        times_uniform_in_t(VP_, 8),
        likelihood_weighting(),
        jax.random.key(0),
        batch,
        condition,
    )[1]
    np.testing.assert_array_equal(loss(0.0), loss(100.0))


@pytest.mark.parametrize("hidden", [False, True])
def test_a_network_sees_x_and_y_and_which_pixels_of_y_are_seen(hidden):
    """Each in channels of its own."""
    x, y, mask = (jax.random.normal(jax.random.key(i), (2, 4, 4, 1 + i)) for i in (1, 2, 0))
    condition = Condition(y, mask if hidden else None, jnp.arange(2, dtype=jnp.uint32))
    found = joined(x, y, condition, Identity())
    np.testing.assert_array_equal(found[..., :2], x)
    np.testing.assert_array_equal(found[..., 2:5], y)
    np.testing.assert_array_equal(found[..., 5:], mask if hidden else jnp.zeros((2, 4, 4, 0)))
