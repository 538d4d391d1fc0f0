"""The SDE of a discrete schedule: exact at the schedule's own times, and one Gaussian path between them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion.discrete_vp import discrete_vp
from sde_vae.diffusion.sdes import VP, log_snr_range, log_snr_rate

STEPS = 1000
LINEAR = np.cumprod(1 - np.linspace(1e-4, 0.02, STEPS))
SCALED = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, STEPS) ** 2)
SQUARED_COSINE = np.cumprod(
    1
    - np.minimum(
        1
        - np.cos((np.arange(1, STEPS + 1) / STEPS + 0.008) / 1.008 * np.pi / 2) ** 2
        / np.cos((np.arange(STEPS) / STEPS + 0.008) / 1.008 * np.pi / 2) ** 2,
        0.999,
    )
)
SCHEDULES = {"linear": LINEAR, "scaled_linear": SCALED, "squaredcos_cap_v2": SQUARED_COSINE}


@pytest.mark.parametrize("bars", SCHEDULES.values(), ids=SCHEDULES)
def test_whole_times_map_onto_themselves(bars):
    """In float32, to the last bit: a network of whole steps gets just these."""
    sde, k = discrete_vp(bars), jnp.arange(STEPS, dtype=jnp.float32)
    assert np.array_equal(sde.t_of_log_snr(sde.log_snr(k)), k)


@pytest.mark.parametrize("bars", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.usefixtures("x64")
def test_at_whole_times_it_is_the_schedule(bars):
    sde, k = discrete_vp(bars), jnp.arange(STEPS, dtype=float)
    np.testing.assert_allclose(sde.alpha(k) ** 2, bars, rtol=1e-12)
    np.testing.assert_allclose(sde.sigma(k) ** 2, 1 - bars, rtol=1e-11)
    assert log_snr_range(sde) == pytest.approx((np.log(bars[-1] / (1 - bars[-1])), np.log(bars[0] / (1 - bars[0]))))


@pytest.mark.parametrize("bars", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.usefixtures("x64")
def test_between_them_f_and_g_are_those_of_one_gaussian_path(bars):
    sde = discrete_vp(bars)
    t = jnp.asarray(np.random.default_rng(0).uniform(0, sde.T, 200))
    slope = lambda of: jax.vmap(jax.grad(lambda s: of(s[None])[0]))(t)
    np.testing.assert_allclose(sde.f(t), slope(lambda s: jnp.log(sde.alpha(s))), rtol=1e-9)
    growth = slope(lambda s: sde.sigma(s) ** 2) - 2 * sde.f(t) * sde.sigma(t) ** 2
    np.testing.assert_allclose(sde.g(t) ** 2, growth, rtol=1e-9)
    np.testing.assert_allclose(sde.alpha(t) ** 2 + sde.sigma(t) ** 2, 1, rtol=1e-12)
    np.testing.assert_allclose(sde.t_of_log_snr(sde.log_snr(t)), t, rtol=1e-9)
    np.testing.assert_allclose(log_snr_rate(sde, t), -slope(sde.log_snr), rtol=1e-9)


@pytest.mark.usefixtures("x64")
def test_the_rate_integrates_to_the_range_of_log_snr():
    """What makes the loss of times uniform in t unbiased. The rate is constant between whole times: midpoints integrate it exactly."""
    sde = discrete_vp(SQUARED_COSINE)
    total = jnp.sum(log_snr_rate(sde, jnp.arange(STEPS - 1) + 0.5))
    low, high = log_snr_range(sde)
    np.testing.assert_allclose(total, high - low, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_the_linear_schedule_is_not_the_continuous_vp():
    """By up to 0.068 in log alpha-bar at equal t / T: a loaded model must not be given VP(0.1, 20)."""
    k = jnp.arange(STEPS, dtype=float)
    differ = jnp.abs(2 * jnp.log(discrete_vp(LINEAR).alpha(k)) - 2 * jnp.log(VP().alpha((k + 1) / STEPS)))
    assert 0.03 < float(jnp.max(differ)) < 0.07


def test_zero_terminal_snr_is_left_out():
    bars = [0.9, 0.5, 0.1, 0.0]
    sde = discrete_vp(bars)
    assert sde.T == 2
    assert np.isfinite(sde.log_snrs).all()


@pytest.mark.parametrize(
    "bars",
    [
        [0.9],
        [0.5, 0.5],
        [0.5, 0.9],
        [1.0, 0.5],
        [0.9, -0.1],
        [0.9, 0.0, 0.0],
        [0.9, np.nan],
        np.array([[0.9, 0.5]]),
        [],
    ],
    ids=str,
)
def test_a_schedule_that_does_not_fall_is_refused(bars):
    with pytest.raises(ValueError, match="does not fall strictly"):
        discrete_vp(bars)
