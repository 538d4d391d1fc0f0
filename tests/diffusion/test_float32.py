"""What rounding does to solvers: float32 and the compiler's fusions, where the theorems are shown in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import keys_of, normal
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP, terminal
from sde_vae.solvers.exponential import ddim, dpm_solver_pp_2m
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.step import integrate
from sde_vae.solvers.stochastic import ancestral
from tests.helpers.rarely import rarely

# At the smallest times a difference of squares is nearest to zero.
SDES = [VP(t_min=1e-5), VE(), RectifiedFlow(-20.0), *rarely(VP(), CosineVP(), SubVP(), RectifiedFlow())]


@pytest.mark.parametrize("steps", [1, *rarely(2), 5])
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_steps_of_any_size_stay_finite_and_of_the_datas_size(sde, steps):
    """One step from T to t_min forgets x_t but for a part in 1e-5 to 1e-10, where a difference of squares would round below zero."""
    keys = keys_of(jax.random.key(0), jnp.arange(32))
    x_T = terminal(sde, normal(keys, jnp.zeros((32, 8))))

    def score(x, t):
        """Of N(0, I), diffused."""
        return -x / (sde.alpha(t) ** 2 + sde.sigma(t) ** 2)[:, None]

    for solver in (ancestral, ddim(1.0), ddim(0.5), dpm_solver_pp_2m(1.0)):
        x = jax.jit(lambda x, solver=solver: integrate(solver(sde, score), keys, x, uniform_log_snr(sde, steps)))(x_T)
        assert x.dtype == jnp.float32
        assert np.all(np.isfinite(x))
        assert np.abs(x).max() < 10
