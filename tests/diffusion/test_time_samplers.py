"""Times: stratified, and without a part in what is learnt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.build.objectives import WEIGHTS
from sde_vae.diffusion import time_samplers, weights
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP, log_snr_range
from tests.helpers.estimates import N, estimate, world

SDES = [VP(), CosineVP(), SubVP(), VE(), RectifiedFlow()]
pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_times_do_not_change_what_is_estimated(sde, weight):
    w = world()
    x_0, _ = w.sample(jax.random.key(1), N)
    fn = WEIGHTS[weight](sde, 0.0)
    a, a_err = estimate(sde, w.marginal_score(sde), time_samplers.times_uniform_in_t, fn, x_0)
    b, b_err = estimate(sde, w.marginal_score(sde), time_samplers.times_uniform_in_log_snr, fn, x_0, seed=4)
    assert abs(a - b) < 4 * np.hypot(a_err, b_err)


@pytest.mark.parametrize("times", [time_samplers.times_uniform_in_t, time_samplers.times_uniform_in_log_snr])
def test_times_are_stratified(times):
    """One time in each of the n equal cells, whatever the key; and the same index gives the same time in any company."""
    sde, n = VP(), 32
    index = jnp.arange(n)
    t, _ = times(sde, n)(jax.random.key(7), index)
    low, high = log_snr_range(sde)
    u = (
        (t - sde.t_min) / (sde.T - sde.t_min)
        if times is time_samplers.times_uniform_in_t
        else (sde.log_snr(t) - low) / (high - low)
    )
    assert sorted(np.floor(np.asarray(u) * n + 1e-9).astype(int) % n) == list(range(n))
    some, _ = times(sde, n)(jax.random.key(7), index[8:16])
    np.testing.assert_array_equal(some, t[8:16])


def test_uniform_log_snr_is_the_steadier_estimate_of_the_likelihood_loss():
    sde, w = VP(), world()
    x_0, _ = w.sample(jax.random.key(1), N)
    _, by_t = estimate(
        sde, w.marginal_score(sde), time_samplers.times_uniform_in_t, weights.likelihood_weighting(), x_0
    )
    _, by_l = estimate(
        sde, w.marginal_score(sde), time_samplers.times_uniform_in_log_snr, weights.likelihood_weighting(), x_0
    )
    assert by_l < 0.7 * by_t
