"""The Gaussians between noise levels, against conditioning written out in matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP
from sde_vae.diffusion.transitions import forward, posterior, posterior_std

SDES = [VP(), CosineVP(), SubVP(), VE(), RectifiedFlow()]
pytestmark = pytest.mark.usefixtures("x64")


def times(sde, n=16):
    """r < s < t, n of each."""
    uniform = jax.random.uniform(jax.random.key(0), (3, n), minval=sde.t_min, maxval=sde.T)
    return jnp.sort(uniform, axis=0)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_forward_kernel_leads_from_one_marginal_to_the_other(sde):
    """a alpha_s = alpha_t and a^2 sigma_s^2 + b^2 = sigma_t^2; from no time to no time, nothing happens."""
    _, s, t = times(sde)
    a, b = forward(sde, s, t)
    np.testing.assert_allclose(a * sde.alpha(s), sde.alpha(t), rtol=1e-12)
    np.testing.assert_allclose(a**2 * sde.sigma(s) ** 2 + b**2, sde.sigma(t) ** 2, rtol=1e-10)
    still = forward(sde, t, t)
    np.testing.assert_array_equal(still[0], 1.0)
    np.testing.assert_array_equal(still[1], 0.0)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_two_hops_are_one(sde):
    r, s, t = times(sde)
    (a_1, b_1), (a_2, b_2), (a, b) = forward(sde, r, s), forward(sde, s, t), forward(sde, r, t)
    np.testing.assert_allclose(a_2 * a_1, a, rtol=1e-12)
    np.testing.assert_allclose(a_2**2 * b_1**2 + b_2**2, b**2, rtol=1e-10)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_forward_kernel_is_the_sdes(sde):
    """Over a short time, a = 1 + f dt and b^2 = g^2 dt to O(dt^2): the remainder falls fourfold as dt halves."""
    t = jnp.linspace(0.2, 0.8, 7) * sde.T

    def remainder(dt):
        a, b = forward(sde, t, t + dt)
        return jnp.stack([a - 1 - sde.f(t) * dt, b**2 - sde.g(t) ** 2 * dt])

    whole, half = (np.linalg.norm(remainder(dt)) for dt in (1e-4, 0.5e-4))
    assert abs(np.log2(whole / half) - 2) < 0.01


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_posterior_is_that_of_the_joint_gaussian(sde):
    """(x_s, x_t) given x_0, its covariance by x_t = a x_s + b xi, conditioned on x_t."""
    _, s, t = times(sde)
    x_0, x_t = jax.random.normal(jax.random.key(1), (2, len(t), 3))
    mean, std = posterior(sde, x_t, x_0, t, s)
    np.testing.assert_array_equal(std, posterior_std(sde, t, s))

    for i in range(len(t)):
        alpha, sigma = (np.asarray(f(jnp.stack([s[i], t[i]]))) for f in (sde.alpha, sde.sigma))
        a = alpha[1] / alpha[0]
        lift = np.array([[1.0, 0.0], [a, 1.0]])  # of (x_s - its mean, b xi)
        joint = lift @ np.diag([sigma[0] ** 2, sigma[1] ** 2 - a**2 * sigma[0] ** 2]) @ lift.T
        gain = joint[0, 1] / joint[1, 1]
        expected = alpha[0] * x_0[i] + gain * (x_t[i] - alpha[1] * x_0[i])
        np.testing.assert_allclose(mean[i], expected, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(std[i] ** 2, joint[0, 0] - gain * joint[0, 1], rtol=1e-8)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_posterior_takes_a_draw_at_t_to_a_draw_at_s(sde):
    """Moments of x_s when x_t ~ q(x_t | x_0): mean alpha_s x_0, variance sigma_s^2."""
    _, s, t = times(sde)
    x_0, eps = jax.random.normal(jax.random.key(1), (2, len(t), 3))
    at_mean, std = posterior(sde, sde.alpha(t)[:, None] * x_0, x_0, t, s)
    np.testing.assert_allclose(at_mean, sde.alpha(s)[:, None] * x_0, rtol=1e-12)
    moved = posterior(sde, sde.alpha(t)[:, None] * x_0 + sde.sigma(t)[:, None] * eps, x_0, t, s)[0] - at_mean
    np.testing.assert_allclose(moved**2 + std[:, None] ** 2 * eps**2, sde.sigma(s)[:, None] ** 2 * eps**2, rtol=1e-9)
