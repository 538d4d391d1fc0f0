"""A Gaussian encoder can correct the errors of a wrong prior with a z that is independent of x: a gain with z is not yet information."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.sdes import VP
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
from sde_vae.diffusion.weights import likelihood_weighting
from sde_vae.methods.method import Method
from sde_vae.methods.posteriors import noisy_input
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.network import Network
from tests.helpers.oracles import LinearGaussian, gaussian_logpdf

SDE = VP(t_min=1e-3)
# The encoder's mean at t > 0, of a z ~ N(0, 1): the larger, the less z changes the gradient.
SHIFT, VARIANCE = 10.0, 0.1
FROZEN = {"prior": None}


def density(world, x, t):
    """log p_t(x) of Gaussian data, by its definition: [batch]."""

    def one(x, t):
        a, s = SDE.alpha(t[None])[0], SDE.sigma(t[None])[0]
        return gaussian_logpdf(x[None], a * world.m[None], a**2 * world.C + s**2 * jnp.eye(len(x)))[0]

    return jax.vmap(one)(x, t)


def mending_method(true, wrong):
    """The paper's method with q(z | x_0) = N(0, 1) for every image, and for t > 0 a Gaussian whose gradient is the prior's error.

    With the mean M - (v / M) log(p_t / p'_t), the gradient of log q(z | x_t) is (1 - z / M) grad log(p_t / p'_t), but for v / M^2.
    """

    def encoder(params, x, log_snr, keys):
        t = SDE.t_of_log_snr(log_snr)
        mean = SHIFT - VARIANCE / SHIFT * (density(true, x, t) - density(wrong, x, t))
        clean = log_snr >= SDE.log_snr(jnp.full(1, 1.01 * SDE.t_min))
        return DiagGaussian(
            jnp.where(clean, 0.0, mean)[:, None],
            jnp.where(clean, 0.0, jnp.full_like(mean, np.log(VARIANCE)))[:, None],
        )

    prior = Method(None, None, unconditional=lambda params, frozen: wrong.marginal_score(SDE))
    posterior = noisy_input(SDE, Network(None, encoder))
    return score_vae(SDE, prior, posterior, times_uniform_in_log_snr(SDE, 4), likelihood_weighting(), kl_penalty(1.0))


@pytest.mark.parametrize("wrong_in", ["mean", "covariance"])
def test_a_z_independent_of_x_takes_back_99_percent_of_a_wrong_priors_error(x64, wrong_in):
    """Of a prior that is wrong in its mean the encoder's mean is linear in x_t: a linear Gaussian q(z | x_t)."""
    true = LinearGaussian.random(jax.random.key(0))
    wrong = true._replace(m=true.m + 1.0) if wrong_in == "mean" else true._replace(C=4 * true.C)
    method, n = mending_method(true, wrong), 8_000
    x_0, _ = true.sample(jax.random.key(1), n)
    q = method.encode(None, FROZEN, x_0)
    np.testing.assert_array_equal(q.kl_to_standard(), 0)
    z, other = (q.sample(jax.random.split(jax.random.key(seed), n)) for seed in (2, 3))
    scores = (wrong.marginal_score(SDE), *(method.score(None, FROZEN, z) for z in (z, other)))
    exact = true.marginal_score(SDE)
    errors = jax.jit(lambda x, t: [jnp.sum(jnp.square(score(x, t) - exact(x, t)), axis=1) for score in scores])
    for level in (-8.0, -2.0, 2.0):
        t = SDE.t_of_log_snr(jnp.full(n, level))
        eps = jax.random.normal(jax.random.key(4), x_0.shape)
        of_prior, of_z, of_other = errors(SDE.alpha(t)[:, None] * x_0 + SDE.sigma(t)[:, None] * eps, t)
        share = 1 - of_z.mean() / of_prior.mean()
        assert abs(share - (1 - 1 / SHIFT**2)) < 1e-3, (level, share)
        # The control shows it: any other z does as much.
        assert abs(of_other.mean() - of_z.mean()) < 4 * np.hypot(*(e.std() / np.sqrt(n) for e in (of_z, of_other)))
