"""The prior: what its networks take in."""

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.diffusion.sdes import VE, VP
from sde_vae.methods.prior import precondition
from tests.helpers.small import tanh_network


def test_networks_see_unit_variance_under_every_sde():
    """With data of unit variance, x scaled by 1 / sqrt(alpha^2 + sigma^2), and a finite level at t = 0."""
    seen = {}

    def apply(params, x, log_snr):
        seen["std"], seen["level"] = float(jnp.std(x)), log_snr
        return x

    net = tanh_network(2, 2)._replace(apply=apply)
    for sde in (VP(), VE()):
        x = jnp.sqrt(sde.alpha(jnp.ones(1)) ** 2 + sde.sigma(jnp.ones(1)) ** 2)[:, None]
        precondition(sde, net, None, x * jax.random.normal(jax.random.key(0), (20_000, 2)), jnp.ones(20_000))
        assert abs(seen["std"] - 1) < 0.02
        precondition(sde, net, None, jnp.ones((1, 2)), jnp.zeros(1))
        assert np.all(np.isfinite(seen["level"]))
