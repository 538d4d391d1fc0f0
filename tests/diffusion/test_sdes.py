"""SDEs: the closed forms against autodiff, and against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP, diffuse, log_snr_range, log_snr_rate, terminal

SDES = [VP(), VP(beta_min=0.5, beta_max=12.0, T=2.0), CosineVP(), SubVP(), VE(), RectifiedFlow()]
pytestmark = pytest.mark.usefixtures("x64")


def times(sde, n=101):
    return jnp.linspace(sde.t_min, sde.T, n)


def derivative(function, t):
    return jax.vmap(jax.grad(lambda s: function(s[None])[0]))(t)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_f_is_the_derivative_of_log_alpha(sde):
    t = times(sde)
    np.testing.assert_allclose(sde.f(t), derivative(lambda s: jnp.log(sde.alpha(s)), t), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_g_squared_is_what_keeps_sigma(sde):
    t = times(sde)
    growth = derivative(lambda s: sde.sigma(s) ** 2, t) - 2 * sde.f(t) * sde.sigma(t) ** 2
    np.testing.assert_allclose(sde.g(t) ** 2, growth, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_log_snr_is_its_definition_and_falls_at_its_rate(sde):
    t = times(sde)
    np.testing.assert_allclose(sde.log_snr(t), jnp.log(sde.alpha(t) ** 2 / sde.sigma(t) ** 2), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(log_snr_rate(sde, t), -derivative(sde.log_snr, t), rtol=1e-9)
    assert np.all(np.diff(sde.log_snr(t)) < 0)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_inverse_of_log_snr(sde):
    t = times(sde)
    np.testing.assert_allclose(sde.t_of_log_snr(sde.log_snr(t)), t, rtol=1e-8)
    low, high = log_snr_range(sde)
    l = jnp.linspace(low, high, 101)
    np.testing.assert_allclose(sde.log_snr(sde.t_of_log_snr(l)), l, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_float32_keeps_five_digits_at_every_time(sde):
    exact = {name: getattr(sde, name)(times(sde)) for name in ("alpha", "sigma", "g", "log_snr")}
    with jax.enable_x64(False):
        single = {name: getattr(sde, name)(jnp.asarray(np.asarray(times(sde)), jnp.float32)) for name in exact}
    for name, value in exact.items():
        assert single[name].dtype == jnp.float32
        np.testing.assert_allclose(single[name], value, rtol=2e-5, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_sde_itself_has_these_marginals(sde):
    """Euler-Maruyama forwards from x_0: mean alpha x_0 and variance sigma^2, without any closed form of the kernel."""
    n, x_0, start, end = 2000, 0.7, 0.2 * sde.T, 0.7 * sde.T
    grid = jnp.linspace(start, end, n + 1)
    # The moments of the Euler recursion are linear recursions of their own: no Monte Carlo is needed.
    mean, var = sde.alpha(grid[:1])[0] * x_0, sde.sigma(grid[:1])[0] ** 2
    f, g = np.asarray(sde.f(grid)), np.asarray(sde.g(grid))
    dt = (end - start) / n
    for i in range(n):
        mean, var = mean * (1 + f[i] * dt), var * (1 + f[i] * dt) ** 2 + g[i] ** 2 * dt
    np.testing.assert_allclose(mean, sde.alpha(grid[-1:])[0] * x_0, rtol=5e-3)
    np.testing.assert_allclose(var, sde.sigma(grid[-1:])[0] ** 2, rtol=5e-3)


def test_the_end_is_where_the_schedules_say():
    """Independent figures: VP's integral of beta is 10.05; the cosine's ends and VE's are parameters."""
    one = jnp.ones(1)
    np.testing.assert_allclose(VP().alpha(one), np.exp(-0.5 * 10.05))
    np.testing.assert_allclose(CosineVP().log_snr(one), -10.0)
    np.testing.assert_allclose(CosineVP().log_snr(0 * one), 20.0)
    np.testing.assert_allclose(VE().sigma(one), 50.0)
    np.testing.assert_allclose(SubVP().sigma(one), VP().sigma(one) ** 2)


def test_diffuse_and_terminal_act_per_example():
    sde, x = VP(), jnp.ones((2, 4, 4, 1))
    t = jnp.array([0.1, 0.9])
    x_t = diffuse(sde, x, t, 2 * x)
    np.testing.assert_allclose(x_t[:, 0, 0, 0], sde.alpha(t) + 2 * sde.sigma(t))
    np.testing.assert_allclose(terminal(VE(), x), 50.0 * x)
