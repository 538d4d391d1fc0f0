"""Every solver: what it draws, where it arrives, what it costs. Orders of convergence are in test_orders."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import fold, keys_of, normal
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.scores import bayes, flow_of_noise, noise_of_score, score_of_noise, switch_at_log_snr
from sde_vae.diffusion.sdes import VE, VP, diffuse, terminal
from sde_vae.solvers.evaluations import count_evaluations
from sde_vae.solvers.exponential import ddim, dpm_solver_pp_2m
from sde_vae.solvers.grids import uniform_log_snr, uniform_t
from sde_vae.solvers.heun import heun
from sde_vae.solvers.langevin import langevin, predictor_corrector
from sde_vae.solvers.step import denoise, integrate, rescale
from sde_vae.solvers.stochastic import ancestral, euler_maruyama, reverse_diffusion
from tests.helpers.chains import chains, first_move
from tests.helpers.oracles import LinearGaussian
from tests.helpers.rarely import SDES

SNR = 0.1
# The solver, and how often a step evaluates the score.
SOLVERS = {
    "euler_maruyama": (euler_maruyama, 1),
    "reverse_diffusion": (reverse_diffusion, 1),
    "ancestral": (ancestral, 1),
    "ddim": (ddim(), 1),
    "heun": (heun(), 2),
    "heun(churn)": (heun(churn=0.05), 2),
    "dpm_solver_pp_2m": (dpm_solver_pp_2m(), 1),
    "dpm_solver_pp_2m(1)": (dpm_solver_pp_2m(1.0), 1),
    "predictor_corrector": (predictor_corrector(reverse_diffusion, langevin(SNR)), 2),
}
FEW, MANY = 24, 1000
pytestmark = pytest.mark.usefixtures("x64")


@functools.cache
def world():
    return LinearGaussian.random(jax.random.key(0))


@functools.cache
def given_z():
    """(z [2], the linear-Gaussian world of x_0 given z): the score of its marginals is p(x|z)'s, as test_scores has it."""
    z = world().sample(jax.random.key(4), 1)[1][0]
    mean, cov = world().given_z(z)
    return z, world()._replace(m=mean, C=cov)


def marginal(sde, t):
    """(mean, covariance) of x_t given z."""
    w, t = given_z()[1], jnp.full(1, t)
    a, s = float(sde.alpha(t)[0]), float(sde.sigma(t)[0])
    return a * np.asarray(w.m), a**2 * np.asarray(w.C) + s**2 * np.eye(3)


@functools.cache
def decodings(name, sde):
    """The chains of a solver down a short and a long grid, for the score of p(x|z)."""
    score, grids = given_z()[1].marginal_score(sde), [uniform_log_snr(sde, n) for n in (FEW, MANY)]
    if name != "predictor_corrector":
        return chains(SOLVERS[name][0](sde, score), 3, grids)
    corrected = chains(langevin(SNR)(sde, score), 3, grids, first_move, at_next=True)
    predicted = decodings("reverse_diffusion", sde)
    return [one.then(other) for one, other in zip(predicted, corrected, strict=True)]


def assert_reached(sde, chain, steps, beside=0.0):
    """Mean and covariance at t_min, started from N(0, sigma(T)^2 I), are those of p(x|z).

    Relative to the scale of x they may be off by alpha / sigma at T, for the start; by the step in log(sigma / alpha), for a
    method of first order; and by what is `beside`.
    """
    sigma_T = float(sde.sigma(jnp.full(1, sde.T))[0])
    mean, cov = chain.moments(np.zeros(3), sigma_T**2 * np.eye(3))
    exact_mean, exact_cov = marginal(sde, sde.t_min)
    low, high = np.asarray(sde.log_snr(jnp.array([sde.T, sde.t_min])))
    tolerance, scale = np.exp(low / 2) + 0.5 * (high - low) / steps + beside, np.sqrt(np.trace(exact_cov))
    np.testing.assert_allclose(mean, exact_mean, atol=tolerance * scale)
    np.testing.assert_allclose(cov, exact_cov, atol=tolerance * scale**2)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_solvers_reach_the_conditional(sde, name):
    """Exactly, as the chain has it: Langevin's corrector may add snr^2 to the covariance (see test_langevin)."""
    assert_reached(sde, decodings(name, sde)[1], MANY, SNR**2 if name == "predictor_corrector" else 0.0)


@pytest.mark.parametrize(
    ("name", "sde"), [(name, (VP(), VE(), RectifiedFlow())[i % 3]) for i, name in enumerate(SOLVERS)], ids=str
)
def test_integrate_draws_from_the_chain(name, sde):
    """Path by path, its noise from fold(keys, step); hence in mean and covariance, to 4.5 standard errors of n draws."""
    n, grid, chain = 4096, uniform_log_snr(sde, FEW), decodings(name, sde)[0]
    keys = keys_of(jax.random.key(1), jnp.arange(n))
    x_T = terminal(sde, normal(keys_of(jax.random.key(2), jnp.arange(n)), jnp.zeros((n, 3))))
    x = np.asarray(
        jax.jit(lambda: integrate(SOLVERS[name][0](sde, given_z()[1].marginal_score(sde)), keys, x_T, grid))()
    )

    y = np.pad(x_T, ((0, 0), (0, chain.A.shape[1] - 3)))
    for A, b, C, xi in zip(*chain, np.asarray(noises(name == "predictor_corrector", FEW, keys)), strict=True):
        y = y @ A.T + b + xi @ C.T
    np.testing.assert_allclose(x, y[:, :3], rtol=1e-7, atol=1e-7)

    sigma_T = float(sde.sigma(jnp.full(1, sde.T))[0])
    mean, cov = chain.moments(np.zeros(3), sigma_T**2 * np.eye(3))
    variance = np.diag(cov)
    assert np.all(np.abs(x.mean(0) - mean) < 4.5 * np.sqrt(variance / n))
    assert np.all(np.abs(np.cov(x.T) - cov) < 4.5 * np.sqrt((variance[:, None] * variance[None] + cov**2) / n))


@functools.partial(jax.jit, static_argnums=(0, 1))
def noises(corrected, steps, keys):
    """[steps, n, 3], or twice as many for a predictor and its corrector in turn."""

    def at(i):
        own, like = fold(keys, i), jnp.zeros((len(keys), 3))
        return jnp.stack(
            [normal(fold(own, 0), like), first_move(fold(own, 1), like)] if corrected else [normal(own, like)]
        )

    return jax.lax.map(at, jnp.arange(steps)).reshape(-1, len(keys), 3)


@pytest.mark.parametrize("sde", [VP(), VE(), RectifiedFlow()], ids=str)
def test_solvers_take_bayes_rule_and_a_prior_that_takes_over_at_high_noise(sde):
    """Leaving z out where logSNR is under -8 costs e^-4, the data's share of x there."""
    z, w, threshold = given_z()[0], world(), -8.0
    prior = w.marginal_score(sde)

    def score(x, t):
        conditional = bayes(prior, w.log_likelihood(sde, jnp.broadcast_to(z, (len(x), 2))))
        return switch_at_log_snr(sde, threshold, prior, conditional)(x, t)

    chain = chains(ancestral(sde, score), 3, [uniform_log_snr(sde, MANY)])[0]
    assert_reached(sde, chain, MANY, beside=np.exp(threshold / 2))


def one_step(solver, sde, x, t, t_next, keys=None):
    keys = keys_of(jax.random.key(3), jnp.arange(len(x))) if keys is None else keys
    step = solver(sde, given_z()[1].marginal_score(sde))
    return step.move(keys, x, step.start(x), t, t_next)[0]


def a_point(sde, n=5):
    x = jax.random.normal(jax.random.key(6), (n, 3))
    return x, jnp.linspace(0.5, 1.0, n) * sde.T, jnp.linspace(0.3, 0.6, n) * sde.T


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_one_step_of_a_multistep_method_is_its_parents(sde):
    for eta in (0.0, 0.5, 1.0):
        parent, child = (one_step(solver(eta), sde, *a_point(sde)) for solver in (ddim, dpm_solver_pp_2m))
        # To rounding: the parent takes eps_hat from the score, the child from x0_hat.
        np.testing.assert_allclose(child, parent, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_ancestral_sampling_is_ddim_at_eta_one(sde):
    np.testing.assert_allclose(
        one_step(ancestral, sde, *a_point(sde)), one_step(ddim(1.0), sde, *a_point(sde)), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("churn", [0.0, 0.2, 10.0])
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_heun_is_algorithm_2_of_edm(sde, churn):
    """Written out, in the y = x / alpha and sigma of its paper: there x0_hat = y - sigma eps_hat is the denoiser D."""
    (x, t, t_next), score, s_noise = a_point(sde), given_z()[1].marginal_score(sde), 1.1
    keys = keys_of(jax.random.key(3), jnp.arange(len(x)))
    column = lambda a: a[:, None]

    def D(y, sigma):
        t = sde.t_of_log_snr(-2 * jnp.log(sigma))
        x = column(sde.alpha(t)) * y
        return (x + column(sde.sigma(t)) ** 2 * score(x, t)) / column(sde.alpha(t))

    y, sigma, sigma_next = x / column(sde.alpha(t)), sde.sigma(t) / sde.alpha(t), sde.sigma(t_next) / sde.alpha(t_next)
    gamma = min(churn, np.sqrt(2) - 1)
    # No further up than where training was.
    T = jnp.full(len(x), sde.T)
    sigma_hat = jnp.minimum((1 + gamma) * sigma, sde.sigma(T) / sde.alpha(T))
    y_hat = y + column(jnp.sqrt(jnp.maximum(sigma_hat**2 - sigma**2, 0))) * s_noise * normal(keys, x)
    d = (y_hat - D(y_hat, sigma_hat)) / column(sigma_hat)
    y_euler = y_hat + column(sigma_next - sigma_hat) * d
    d_prime = (y_euler - D(y_euler, sigma_next)) / column(sigma_next)
    y_next = y_hat + column(sigma_next - sigma_hat) * 0.5 * (d + d_prime)

    found = one_step(heun(churn, s_noise), sde, x, t, t_next, keys)
    np.testing.assert_allclose(found, column(sde.alpha(t_next)) * y_next, rtol=1e-6, atol=1e-6)


def test_the_stochastic_solvers_are_their_papers_in_the_papers_letters():
    """DDPM's beta and alpha-bar, where x_t | x_s ~ N(sqrt(1 - beta) x_s, beta I); for VE, sigma_i and sigma_{i-1}."""
    keys, score = keys_of(jax.random.key(3), jnp.arange(5)), lambda sde: given_z()[1].marginal_score(sde)
    x, t, s = a_point(VP())
    xi, grad = normal(keys, x), score(VP())(x, t)
    bar_t, bar_s = VP().alpha(t)[:, None] ** 2, VP().alpha(s)[:, None] ** 2
    beta = 1 - bar_t / bar_s
    # arXiv:2011.13456, eq. 4 has beta as the variance; arXiv:2006.11239, section 3.2, beta-tilde too.
    mean, beta_tilde = (x + beta * grad) / jnp.sqrt(1 - beta), (1 - bar_s) / (1 - bar_t) * beta
    np.testing.assert_allclose(one_step(ancestral, VP(), x, t, s, keys), mean + jnp.sqrt(beta_tilde) * xi, rtol=1e-9)
    expected = (2 - jnp.sqrt(1 - beta)) * x + beta * grad + jnp.sqrt(beta) * xi
    np.testing.assert_allclose(one_step(reverse_diffusion, VP(), x, t, s, keys), expected, rtol=1e-9)
    grown = (VE().sigma(t) ** 2 - VE().sigma(s) ** 2)[:, None]
    expected = x + grown * score(VE())(x, t) + jnp.sqrt(grown) * xi
    np.testing.assert_allclose(one_step(reverse_diffusion, VE(), x, t, s, keys), expected, rtol=1e-9)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_reverse_diffusion_is_euler_maruyama_to_first_order_in_a_step(sde):
    """In A, b and C C^T the two differ by O(dt^2)."""
    score, t = given_z()[1].marginal_score(sde), 0.5 * sde.T
    grids = [np.array([t, t - dt * sde.T]) for dt in (2e-3, 1e-3)]
    both = zip(
        chains(euler_maruyama(sde, score), 3, grids), chains(reverse_diffusion(sde, score), 3, grids), strict=True
    )
    apart = [
        np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(one.law(), other.law(), strict=True))) for one, other in both
    ]
    assert abs(np.log2(apart[0] / apart[1]) - 2) < 0.05, apart


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_ddim_with_the_true_noise_is_exact_in_one_step(sde):
    """If eps_hat does not change on the way, DDIM lands on alpha' x_0 + sigma' eps; taking the noise off there gives x_0."""
    x_0, eps = jax.random.normal(jax.random.key(0), (2, 5, 3))
    t, t_next = jnp.full(5, 0.9 * sde.T), jnp.full(5, 0.3 * sde.T)
    score = lambda x, t: score_of_noise(sde, eps, t)
    x, _ = ddim()(sde, score).move(keys_of(jax.random.key(1), jnp.arange(5)), diffuse(sde, x_0, t, eps), (), t, t_next)
    np.testing.assert_allclose(x, diffuse(sde, x_0, t_next, eps), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(denoise(sde, score, x, 0.3 * sde.T), x_0, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(rescale(sde, score, sde.alpha(t_next)[:, None] * x_0, 0.3 * sde.T), x_0, rtol=1e-12)


def test_ddim_is_eulers_method_on_the_ode_of_rectified_flow():
    """x' = x + (t' - t) u, the sampler of flow matching: DDIM of a straight path is exact where u does not change."""
    sde = RectifiedFlow()
    x, t, t_next = a_point(sde)
    eps_hat = noise_of_score(sde, given_z()[1].marginal_score(sde)(x, t), t)
    euler = x + (t_next - t)[:, None] * flow_of_noise(sde, eps_hat, x, t)
    np.testing.assert_allclose(one_step(ddim(), sde, x, t, t_next), euler, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", SOLVERS)
def test_evaluations_are_those_a_method_needs(name):
    """Once a step, Heun twice, a corrector once more for each of its moves; and one for denoising at the end."""
    (solver, evaluations), sde, n = SOLVERS[name], VP(), 5
    keys, x, grid = keys_of(jax.random.key(0), jnp.arange(2)), jnp.ones((2, 3)), uniform_t(VP(), n)
    run = lambda score: denoise(sde, score, integrate(solver(sde, score), keys, x, grid), sde.t_min)
    assert count_evaluations(run, lambda x, t: -x) == evaluations * n + 1


def test_every_step_of_a_corrector_is_one_evaluation():
    sde, solver = VP(), predictor_corrector(ancestral, langevin(SNR, steps=3))
    keys, x, grid = keys_of(jax.random.key(0), jnp.arange(2)), jnp.ones((2, 3)), uniform_t(VP(), 5)
    assert count_evaluations(lambda score: integrate(solver(sde, score), keys, x, grid), lambda x, t: -x) == (1 + 3) * 5


@pytest.mark.parametrize("name", ["ddim", "heun", "dpm_solver_pp_2m"])
def test_nothing_is_evaluated_twice(name):
    """One-evaluation solvers look at the start of each step, Heun at its start and its end: never twice at the same (x, t)."""
    (solver, evaluations), sde, n, seen = SOLVERS[name], VP(), 4, []

    def score(x, t):
        jax.debug.callback(lambda x, t: seen.append((float(t[0]), float(x[0, 0]))), x, t)
        return -jnp.sin(x)

    keys, x, grid = keys_of(jax.random.key(0), jnp.arange(2)), jnp.full((2, 3), 0.7), uniform_t(sde, n)
    jax.jit(lambda: integrate(solver(sde, score), keys, x, grid))()
    jax.effects_barrier()
    starts, ends = list(np.asarray(grid[:-1])), list(np.asarray(grid[1:]))
    np.testing.assert_array_equal(sorted(t for t, _ in seen), sorted(starts + ends * (evaluations - 1)))
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_decoding_depends_neither_on_its_company_nor_on_its_place(name):
    """To the bit. And other images, keys and conditions do not compile again."""
    sde, traced = VP(), []

    @jax.jit
    def run(index, x, shift):
        traced.append(None)
        score = lambda x, t: -(x - shift) / (1 + sde.sigma(t)[:, None])
        return integrate(SOLVERS[name][0](sde, score), keys_of(jax.random.key(0), index), x, uniform_log_snr(sde, 5))

    x, shift = jax.random.normal(jax.random.key(1), (2, 12, 3))
    one, other = np.arange(6), np.array([8, 3, 9, 2, 10, 11])
    first, second = (np.asarray(run(jnp.asarray(rows), x[rows], shift[rows])) for rows in (one, other))
    assert len(traced) == 1
    np.testing.assert_array_equal(second[[1, 3]], first[[3, 2]])
    if name == "predictor_corrector":  # a batch of another size is another program
        np.testing.assert_allclose(run(jnp.arange(2), x[:2], shift[:2]), first[:2], rtol=1e-12)
