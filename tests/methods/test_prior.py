"""The prior: what its networks take in, and what their outputs mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP, SubVP, diffuse
from sde_vae.methods.prior import precondition, predicts_flow, predicts_noise, predicts_velocity
from tests.helpers.small import tanh_network


def test_networks_see_unit_variance_under_every_sde():
    """With data of unit variance, x scaled by 1 / sqrt(alpha^2 + sigma^2), and a finite level at t = 0."""
    seen = {}

    def apply(params, x, log_snr):
        seen["std"], seen["level"] = float(jnp.std(x)), log_snr
        return x

    net = tanh_network(2, 2)._replace(apply=apply)
    for sde in (VP(), VE(), RectifiedFlow()):
        for t in (sde.T, 0.5 * sde.T):
            x = jnp.hypot(sde.alpha(jnp.full(1, t)), sde.sigma(jnp.full(1, t)))[:, None]
            precondition(sde, net, None, x * jax.random.normal(jax.random.key(0), (20_000, 2)), jnp.full(20_000, t))
            assert abs(seen["std"] - 1) < 0.02
        precondition(sde, net, None, jnp.ones((1, 2)), jnp.zeros(1))
        assert np.all(np.isfinite(seen["level"]))


@pytest.mark.parametrize("sde", [VP(), SubVP(), VE(), RectifiedFlow()], ids=str)
def test_every_prediction_means_the_noise_by_its_definition(sde, x64):
    x_0, eps = jax.random.normal(jax.random.key(0), (2, 16, 3))
    t = jnp.linspace(sde.t_min, sde.T, 16)
    x, a, s = diffuse(sde, x_0, t, eps), sde.alpha(t)[:, None], sde.sigma(t)[:, None]
    velocity = (a * eps - s * x_0) / jnp.hypot(a, s)
    for prediction, output in ((predicts_noise, eps), (predicts_velocity, velocity), (predicts_flow, eps - x_0)):
        np.testing.assert_allclose(prediction(sde, output, x, t), eps, rtol=1e-9, atol=1e-12)
