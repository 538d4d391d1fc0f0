"""Grids of times."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP, fault_of
from sde_vae.solvers.grids import edm, uniform_log_snr, uniform_t

SDES = [VP(), CosineVP(), SubVP(), VE(), RectifiedFlow()]
GRIDS = {
    "uniform_t": uniform_t,
    "uniform_log_snr": uniform_log_snr,
    "edm": edm,
    "edm(1)": functools.partial(edm, rho=1.0),
    "edm(1000)": functools.partial(edm, rho=1000.0),
}


def noise_level(sde, times):
    """sigma / alpha."""
    return np.asarray(sde.sigma(times) / sde.alpha(times))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_grids_run_down_from_T_to_t_min(sde, grid):
    """In float32 as in float64, and where a thousand of them crowd."""
    for wide in (False, True):
        with jax.enable_x64(wide):
            for steps in (1, 1000):
                times = np.asarray(GRIDS[grid](sde, steps))
                assert times.shape == (steps + 1,)
                assert times[0] == times.dtype.type(sde.T)
                assert times[-1] == times.dtype.type(sde.t_min)
                assert np.all(np.diff(times) < 0)


@pytest.mark.parametrize("make", [CosineVP, RectifiedFlow])
def test_an_end_where_float32_runs_out_of_times_is_refused(make):
    """Near T = 1 and near a quarter turn the times of a fine grid would fall on one another, and a solver divide by their difference."""
    for low in (-33.0, -30.0, -25.0, -20.0, -10.0, -2.0):
        sde = make(log_snr_min=low)
        falls = bool(np.all(np.diff(uniform_log_snr(sde, 1000)) < 0))
        assert falls == (fault_of(sde) == "") == (low >= -20)
    assert "the times of float32 are" in fault_of(make(log_snr_min=-25.0))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_what_each_grid_is_equal_in(sde):
    equal = lambda values: np.testing.assert_allclose(np.diff(values), np.diff(values).mean(), rtol=1e-6)
    equal(np.asarray(uniform_t(sde, 20)))
    equal(np.asarray(sde.log_snr(uniform_log_snr(sde, 20))))
    equal(noise_level(sde, edm(sde, 20)) ** (1 / 7))
    equal(noise_level(sde, edm(sde, 20, rho=1.0)))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_edm_is_equation_5_of_its_paper(sde):
    """On sigma / alpha, the sigma of its own SDE: (max^(1/rho) + i/n (min^(1/rho) - max^(1/rho)))^rho."""
    n, rho, i = 12, 7.0, np.arange(13)
    high, low = noise_level(sde, jnp.array([sde.T, sde.t_min]))
    expected = (high ** (1 / rho) + i / n * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    np.testing.assert_allclose(noise_level(sde, edm(sde, n, rho)), expected, rtol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_edm_tends_to_equal_log_snr_as_rho_grows(sde):
    """root^rho is an exponential up to O(1 / rho): ten times the rho, a tenth of the distance."""
    limit = np.asarray(sde.log_snr(uniform_log_snr(sde, 20)))
    apart = [np.abs(np.asarray(sde.log_snr(edm(sde, 20, rho))) - limit).max() for rho in (100.0, 1000.0, 10_000.0)]
    np.testing.assert_allclose(np.log10(np.divide(apart[:-1], apart[1:])), 1.0, atol=0.1)
