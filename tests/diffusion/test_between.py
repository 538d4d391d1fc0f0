"""The schedule between two others is an SDE like any other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion.between import Between
from sde_vae.diffusion.sdes import VE, VP

PAIRS = {"vp": (VP(), VP(beta_max=3.0)), "ve": (VE(0.01, 50.0), VE(0.01, 1.0))}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_its_parts_belong_together(x64, pair, share):
    """logSNR, f and g are those of alpha and sigma, by autodiff, and t is found from logSNR."""
    sde, t = Between(*pair, share), jnp.linspace(0.01, 1.0, 30)
    one = lambda f: jax.vmap(jax.grad(lambda t: f(t[None])[0]))
    np.testing.assert_allclose(sde.log_snr(t), 2 * jnp.log(sde.alpha(t) / sde.sigma(t)), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(sde.f(t), one(lambda t: jnp.log(sde.alpha(t)))(t), rtol=1e-9, atol=1e-12)
    variance_rate = one(lambda t: sde.sigma(t) ** 2)(t)
    np.testing.assert_allclose(sde.g(t) ** 2, variance_rate - 2 * sde.f(t) * sde.sigma(t) ** 2, rtol=1e-8)
    np.testing.assert_allclose(sde.t_of_log_snr(sde.log_snr(t)), t, atol=1e-8)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_its_ends_are_the_two(pair):
    t = jnp.linspace(0.01, 1.0, 7)
    for share, end in zip((0.0, 1.0), pair, strict=True):
        sde = Between(*pair, share)
        for name in ("alpha", "sigma", "f", "g", "log_snr"):
            np.testing.assert_allclose(getattr(sde, name)(t), getattr(end, name)(t), rtol=2e-4, atol=1e-6)
