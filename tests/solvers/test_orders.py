"""Orders of convergence, against closed forms and without Monte Carlo.

For an exact linear-Gaussian score, the SDEs of all eta share their marginals N(a m, V), V = a^2 lam + s^2 in the eigenbasis of C,
and in it the law of x_s given x_t is Gaussian too. Its factor on x_t - a_t m is

    (V_s / V_t)^(1/2) ((a_t / a_s) (V_s / V_t)^(1/2))^(eta^2):

the probability-flow ODE's flow map at eta = 0; the conditional of the joint Gaussian of (x_s, x_t) at eta = 1.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import keys_of
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP
from sde_vae.solvers.exponential import ddim, dpm_solver_pp_2m
from sde_vae.solvers.grids import edm, uniform_log_snr
from sde_vae.solvers.heun import heun
from sde_vae.solvers.stochastic import ancestral, euler_maruyama, reverse_diffusion
from tests.helpers.chains import chains
from tests.helpers.oracles import LinearGaussian
from tests.helpers.rarely import SDES

DETERMINISTIC = {"ddim": (ddim(), 1), "heun": (heun(), 2), "dpm_solver_pp_2m": (dpm_solver_pp_2m(), 2)}
# solver, the eta of the SDE that it solves, order of the law of x_s given x_t.
STOCHASTIC = {
    "euler_maruyama": (euler_maruyama, 1.0, 1),
    "reverse_diffusion": (reverse_diffusion, 1.0, 1),
    "ancestral": (ancestral, 1.0, 1),
    "ddim(0.5)": (ddim(0.5), 0.5, 1),
    "dpm_solver_pp_2m(1)": (dpm_solver_pp_2m(1.0), 1.0, 2),
    "dpm_solver_pp_2m(0.5)": (dpm_solver_pp_2m(0.5), 0.5, 1),
}
STEPS = (32, 64, 128)
# The part of the range in which data and noise are of one size: there no part of the law is lost to contraction.
MIDDLE = 3.0
pytestmark = pytest.mark.usefixtures("x64")


@functools.cache
def world():
    return LinearGaussian.random(jax.random.key(0))


@functools.cache
def all_the_way(sde, name):
    """The chains of a deterministic solver from T to t_min: on grids equal in logSNR, on EDM's, and from t_min up to T."""
    down = [uniform_log_snr(sde, n) for n in STEPS]
    grids = [*down, *(edm(sde, n) for n in STEPS), *(grid[::-1] for grid in down)]
    found = chains(DETERMINISTIC[name][0](sde, world().marginal_score(sde)), 3, grids)
    return found[:3], found[3:6], found[6:]


@functools.cache
def across_the_middle(sde, name):
    """The chains of a stochastic solver, the last of them on a grid twice as fine as those of STEPS."""
    grids = [middle(sde, n) for n in (*STEPS, 2 * STEPS[-1])]
    return chains(STOCHASTIC[name][0](sde, world().marginal_score(sde)), 3, grids)


def middle(sde, steps):
    return sde.t_of_log_snr(jnp.linspace(-MIDDLE, MIDDLE, steps + 1))


def marginal(sde, t):
    """(mean, covariance) of x_t."""
    w, (a, s) = world(), scales(sde, t)
    return a * np.asarray(w.m), a**2 * np.asarray(w.C) + s**2 * np.eye(3)


def law(sde, eta, t, s):
    """(A, b, Q) of x_s given x_t."""
    w, (a_t, s_t), (a_s, s_s) = world(), scales(sde, t), scales(sde, s)
    values, U = np.linalg.eigh(np.asarray(w.C))
    V_t, V_s = a_t**2 * values + s_t**2, a_s**2 * values + s_s**2
    root = np.sqrt(V_s / V_t)
    factor = root * (a_t / a_s * root) ** (eta**2)
    A = U @ np.diag(factor) @ U.T
    return A, a_s * np.asarray(w.m) - a_t * A @ np.asarray(w.m), U @ np.diag(V_s - factor**2 * V_t) @ U.T


def scales(sde, t):
    t = jnp.full(1, t)
    return float(sde.alpha(t)[0]), float(sde.sigma(t)[0])


def distance(found, exact):
    return np.sqrt(sum(np.sum((f - e) ** 2) for f, e in zip(found, exact, strict=True)))


def order(errors):
    """The slope between n and 2n is p + O(1/n): two of them, extrapolated, leave O(1/n^2)."""
    coarse, fine = np.log2(errors[0] / errors[1]), np.log2(errors[1] / errors[2])
    return 2 * fine - coarse


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_deterministic_solvers_converge_to_the_flow_map(sde, name):
    """From T to t_min, on a grid equal in logSNR and on one that is not."""
    exact = law(sde, 0, sde.T, sde.t_min)
    for found in all_the_way(sde, name)[:2]:
        errors = [distance(chain.law(), exact) for chain in found]
        assert abs(order(errors) - DETERMINISTIC[name][1]) < 0.1, errors


def test_deterministic_solvers_on_a_mixture():
    """A score that is not linear, whose flow parts at the borders between components, against a very fine Heun; and back."""
    sde, weights, means, v = VP(), jnp.array([0.4, 0.6]), jnp.array([[1.0, 0.0], [-1.0, 0.5]]), 0.2
    x_0, x_T = jax.random.normal(jax.random.key(0), (2, 8, 2))
    keys = keys_of(jax.random.key(0), jnp.arange(8))

    def score(x, t):
        a, s = sde.alpha(t)[:, None], sde.sigma(t)[:, None]
        V, centres = a**2 * v + s**2, a[:, :, None] * means[None]
        square = jnp.sum((x[:, None] - centres) ** 2, axis=-1)
        r = jax.nn.softmax(jnp.log(weights)[None] - 0.5 * square / V)
        return (jnp.sum(r[:, :, None] * centres, axis=1) - x) / V

    grids, finest = [uniform_log_snr(sde, n) for n in (64, 128, 256)], 1024

    def runner(solver):
        step = solver(sde, score)

        @jax.jit
        def run(x, times, n):
            """`integrate` over the first n intervals: one compilation for all n."""
            at = lambda i: jnp.full(len(x), times[i])
            move = lambda i, carry: step.move(keys, *carry, at(i), at(i + 1))
            return jax.lax.fori_loop(0, n, move, (x, step.start(x)))[0]

        return lambda x, grid: run(x, jnp.pad(grid, (0, finest + 1 - len(grid))), len(grid) - 1)

    run = {name: runner(solver) for name, (solver, _) in DETERMINISTIC.items()}
    # Heun's, extrapolated.
    half, whole = (run["heun"](x_T, uniform_log_snr(sde, n)) for n in (finest // 2, finest))
    exact = whole + (whole - half) / 3
    for name, (_, p) in DETERMINISTIC.items():
        errors = [distance([run[name](x_T, grid)], [exact]) for grid in grids]
        assert abs(order(errors) - p) < 0.1, (name, errors)
        back = [distance([run[name](run[name](x_0, grid[::-1]), grid)], [x_0]) for grid in grids]
        assert min(np.log2(np.divide(back[:-1], back[1:]))) > p - 0.1, (name, back)
        assert p == 1 or back[-1] < 1e-3 * jnp.linalg.norm(x_0), (name, back)


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_weak_order_of_the_stochastic_solvers(sde, name):
    """Mean and covariance of x_s given x_t.

    2M at eta = 1 has order 2, though its noise is drawn once a step. In x' = x + h f + h/2 (f - f_before) + dW, with f = J x and
    dW ~ N(0, h Q), the difference f - f_before carries J dW_before, and x carries dW_before: that adds h^2 (J Q + Q J^T) / 2 to
    the covariance, the very term that noise acting within the step gives the exact one. For 0 < eta < 1 the transitions of DDIM
    and 2M are those of an eta that differs by O(h).
    """
    _, eta, p = STOCHASTIC[name]
    exact = law(sde, eta, *middle(sde, 1))
    errors = [distance(chain.law(), exact) for chain in across_the_middle(sde, name)[:3]]
    assert abs(order(errors) - p) < 0.1, errors


@pytest.mark.parametrize("name", ["dpm_solver_pp_2m(0.5)", "dpm_solver_pp_2m(1)"])
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_marginals_of_2m_are_of_second_order_at_every_eta(sde, name):
    """The SDEs of all eta share their marginals, so that an eta which is off by O(h) does no harm there."""
    t, s = middle(sde, 1)
    errors = [
        distance(chain.moments(*marginal(sde, t)), marginal(sde, s)) for chain in across_the_middle(sde, name)[:3]
    ]
    assert abs(order(errors) - 2) < 0.1, errors


@pytest.mark.parametrize("sde", [VP(), VE(), RectifiedFlow()], ids=str)
def test_churn_makes_heun_an_sde(sde):
    """Noise that is added and removed leaves the marginals to second order; the law is the SDE's of eta^2 = n gamma / range.

    A rise by log(1 + gamma) in log(sigma / alpha) every step, with gamma = eta^2 d log(sigma / alpha), is that SDE, split to
    first order.
    """
    eta, (t, s) = 0.5, middle(sde, 1)
    found = [
        chains(heun(churn=eta**2 * MIDDLE / n)(sde, world().marginal_score(sde)), 3, [middle(sde, n)])[0] for n in STEPS
    ]
    laws = [distance(chain.law(), law(sde, eta, t, s)) for chain in found]
    marginals = [distance(chain.moments(*marginal(sde, t)), marginal(sde, s)) for chain in found]
    assert abs(order(laws) - 1) < 0.1, laws
    assert abs(order(marginals) - 2) < 0.1, marginals


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_euler_maruyama_has_strong_order_one(sde):
    """The noise is additive. n and 2n steps along one Brownian path: the root mean square of their difference, exactly."""
    grids, found = [middle(sde, n) for n in (*STEPS, 2 * STEPS[-1])], across_the_middle(sde, "euler_maruyama")
    mean, cov = marginal(sde, grids[0][0])
    pairs = zip(found[:-1], found[1:], grids[1:], strict=True)
    differences = [together(*pair, np.tile(mean, 2), np.tile(cov, (2, 2))) for pair in pairs]
    assert abs(order(differences) - 1) < 0.1, differences


def together(coarse, fine, times, mean, cov):
    """Root mean square of coarse - fine, whose increments of the Brownian path are sums of two of the fine one's."""
    dt = np.abs(np.diff(times))
    zero = np.zeros((3, 3))
    for i, (A, b, C) in enumerate(zip(*coarse, strict=True)):
        j, k = 2 * i, 2 * i + 1
        share = np.sqrt(dt[[j, k]] / (dt[j] + dt[k]))
        step = np.block([[A, zero], [zero, fine.A[k] @ fine.A[j]]])
        noise = np.block([[share[0] * C, share[1] * C], [fine.A[k] @ fine.C[j], fine.C[k]]])
        mean = step @ mean + np.concatenate([b, fine.A[k] @ fine.b[j] + fine.b[k]])
        cov = step @ cov @ step.T + noise @ noise.T
    difference = np.concatenate([np.eye(3), -np.eye(3)], axis=1)
    return np.sqrt(np.sum((difference @ mean) ** 2) + np.trace(difference @ cov @ difference.T))


@pytest.mark.parametrize(("name", "p"), [("ddim", 1), ("heun", 3)])
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_up_and_down_again_is_the_identity_to_the_solvers_order(sde, name, p):
    """One more than its own order for Heun: the leading error of an even order is undone on the way back."""
    errors = invert_and_decode(sde, name)
    assert abs(order(errors) - p) < 0.1, errors


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_2m_inverts_to_second_order_or_better(sde):
    """Third, but for the first step of either way, DDIM's, which leaves errors of second order."""
    errors = invert_and_decode(sde, "dpm_solver_pp_2m")
    assert min(np.log2(np.divide(errors[:-1], errors[1:]))) > 1.9, errors


def invert_and_decode(sde, name):
    down, _, up = all_the_way(sde, name)
    identity = np.eye(3), np.zeros(3)
    laws = [(one.law(), other.law()) for one, other in zip(up, down, strict=True)]
    return [distance((B @ A, B @ a + b), identity) for (A, a, _), (B, b, _) in laws]
