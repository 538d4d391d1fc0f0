import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from sde_vae.arrays import keys_of
from sde_vae.diffusion.gaussians import DiagGaussian


def example(n=5, k=3, seed=0):
    a, b, c = jax.random.split(jax.random.key(seed), 3)
    return DiagGaussian(jax.random.normal(a, (n, k)), jax.random.normal(b, (n, k))), jax.random.normal(c, (n, k))


def test_log_prob_is_scipys():
    q, z = example()
    expected = stats.norm(q.mean, np.exp(0.5 * q.log_var)).logpdf(z).sum(-1)
    np.testing.assert_allclose(q.log_prob(z), expected, rtol=1e-5)


def test_kl_is_the_mean_of_the_log_ratio():
    q, _ = example(n=1)
    many = DiagGaussian(*(jnp.broadcast_to(a, (200_000, 3)) for a in q))
    z = many.sample(keys_of(jax.random.key(1), jnp.arange(200_000)))
    ratio = many.log_prob(z) - stats.norm().logpdf(z).sum(-1)
    error = ratio.std() / np.sqrt(len(ratio))
    assert abs(ratio.mean() - q.kl_to_standard()[0]) < 4 * error


def test_kl_keeps_its_digits_near_zero():
    """KL = v^2 / 4 for a small log-variance v: exp(v) - 1 - v in float32 would return 0 or noise."""
    q = DiagGaussian(jnp.zeros((1, 1)), jnp.full((1, 1), 1e-3))
    np.testing.assert_allclose(q.kl_to_standard(), 0.25e-6, rtol=1e-2)


def test_samples_are_reparameterised():
    q, _ = example()
    keys = keys_of(jax.random.key(3), jnp.arange(5))
    gradient = jax.grad(lambda m, v: DiagGaussian(m, v).sample(keys).sum(), argnums=(0, 1))(*q)
    np.testing.assert_allclose(gradient[0], 1.0)
    np.testing.assert_allclose(gradient[1], 0.5 * (q.sample(keys) - q.mean), rtol=1e-5)
