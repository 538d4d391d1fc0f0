"""What a latent pays: beta, free bits, warm-up."""

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.gaussians import DiagGaussian
from sde_vae.penalties import kl_penalty


def posterior(n=64, latent=5):
    k1, k2 = jax.random.split(jax.random.key(0))
    return DiagGaussian(jax.random.normal(k1, (n, latent)), jax.random.normal(k2, (n, latent)))


def test_without_more_it_is_beta_times_the_kl():
    q = posterior()
    np.testing.assert_allclose(kl_penalty(0.3)(q, None), 0.3 * q.kl_to_standard(), rtol=1e-6)


def test_free_bits_are_free_and_the_rest_is_paid():
    q, free = posterior(), 0.8
    gradient = jax.grad(lambda mean: jnp.sum(kl_penalty(1.0, free)(q._replace(mean=mean), None)))(q.mean)
    cheap = np.asarray(q.kl_per_dimension()) < free
    assert cheap.any()
    assert not cheap.all()
    np.testing.assert_array_equal(gradient[cheap], 0.0)
    np.testing.assert_allclose(gradient[~cheap], q.mean[~cheap], rtol=1e-6)
    # Nobody pays less than what is free.
    assert np.all(kl_penalty(1.0, free)(q, None) >= 5 * free)


def test_the_price_rises_linearly_to_beta_and_stays_there():
    q, penalty = posterior(), kl_penalty(2.0, warmup=10)
    for step, reached in ((0, 0.0), (1, 0.1), (5, 0.5), (10, 1.0), (1000, 1.0)):
        np.testing.assert_allclose(penalty(q, jnp.int32(step)), 2 * reached * q.kl_to_standard(), rtol=1e-6)


def test_what_is_paid_does_not_depend_on_how_a_batch_is_split():
    q, penalty = posterior(), kl_penalty(1.0, 0.5)
    whole = penalty(q, None)
    halves = [penalty(DiagGaussian(q.mean[s], q.log_var[s]), None) for s in (slice(0, 32), slice(32, 64))]
    np.testing.assert_array_equal(whole, np.concatenate(halves))
