"""The denoising loss at exact scores: its closed form, and that no other score has less."""

import jax
import jax.numpy as jnp
import pytest
from scipy import integrate as quadrature

from sde_vae.diffusion import scores, time_samplers, weights
from sde_vae.diffusion.sdes import log_snr_range
from tests.helpers.estimates import N, estimate, world
from tests.helpers.rarely import SDES

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("times", [time_samplers.times_uniform_in_t, time_samplers.times_uniform_in_log_snr])
@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_likelihood_loss_has_its_closed_form_at_the_exact_scores(sde, times):
    """1/2 int E||eps_hat - eps||^2 dl, by quadrature over the exact least error, for the marginal and for p(x|z)."""
    w = world()
    x_0, z = w.sample(jax.random.key(1), N)
    low, high = log_snr_range(sde)
    for score, cov in [
        (w.marginal_score(sde), w.C),
        (scores.bayes(w.marginal_score(sde), w.log_likelihood(sde, z)), w.given_z(z[0])[1]),
    ]:
        error = jax.jit(lambda l, cov=cov: w.denoising_error(sde, sde.t_of_log_snr(jnp.asarray([l]))[0], cov))
        expected = 0.5 * quadrature.quad(lambda l, error=error: float(error(l)), low, high, epsrel=1e-6)[0]
        mean, stderr = estimate(sde, score, times, weights.likelihood_weighting(), x_0)
        assert abs(mean - expected) < 4 * stderr, (mean, expected, stderr)
        assert stderr < 0.05 * expected


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_exact_score_is_the_least(sde):
    """Any other score loses: the same draws, so that the difference is seen through the noise."""
    w = world()
    x_0, _ = w.sample(jax.random.key(1), N)
    exact = w.marginal_score(sde)
    least, _ = estimate(sde, exact, time_samplers.times_uniform_in_log_snr, weights.likelihood_weighting(), x_0)
    for factor in (0.9, 1.1):
        other, _ = estimate(
            sde,
            lambda x, t, f=factor: f * exact(x, t),
            time_samplers.times_uniform_in_log_snr,
            weights.likelihood_weighting(),
            x_0,
        )
        assert other > least
