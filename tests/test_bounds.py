"""The bound: terms against closed forms, and the whole against the exact likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae import bounds, scores
from sde_vae.sdes import VE, VP, CosineVP, SubVP, diffuse
from sde_vae.types import Batch
from tests.oracles import LinearGaussian, gaussian_logpdf

SDES = [VP(), CosineVP(), SubVP(), VE()]
pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_bound_is_tight_at_the_exact_scores_and_posterior(sde):
    """-E log p(x_{t_min}) = KL + prior KL + diffusion - entropy of the noise, all closed-form in the linear-Gaussian world.

    The discretised term is replaced by the entropy of x_eps given x_0, which turns the bound on a discrete x_0 into one on the
    density of x_eps; with exact scores it is an equality up to KL(p(x_T) || pi).
    """
    w, n = LinearGaussian.random(jax.random.key(0)), 50_000
    k1, k2, k3 = jax.random.split(jax.random.key(1), 3)
    x_0, z = w.sample(k1, n)
    batch = Batch(x_0, jnp.arange(n))
    t = jnp.full(n, sde.t_min)
    x_eps = diffuse(sde, x_0, t, jax.random.normal(k2, x_0.shape))
    a, s = sde.alpha(t)[0], sde.sigma(t)[0]
    exact = -gaussian_logpdf(x_eps, jnp.broadcast_to(a * w.m, x_0.shape), a**2 * w.C + s**2 * jnp.eye(3))

    entropy = 1.5 * np.log(2 * np.pi * np.e) + 3 * jnp.log(s)
    score = scores.bayes(w.marginal_score(sde), w.log_likelihood(sde, z))
    diffusion = bounds.diffusion(sde, score, k3, batch, n)
    # KL(q(z|x_0) || p(z)) with q = p(z|x_0), the aggregate p(z) in the place of N(0, I).
    mean_z, cov_z = w.A @ w.m, w.A @ w.C @ w.A.T + w.s**2 * jnp.eye(2)
    log_q = gaussian_logpdf(z, x_0 @ w.A.T, w.s**2 * jnp.eye(2))
    kl = log_q - gaussian_logpdf(z, jnp.broadcast_to(mean_z, z.shape), cov_z)
    gap = bounds.prior_kl(sde, x_0) + diffusion + kl + entropy - exact
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(n) + 1e-3, (gap.mean(), gap.std() / np.sqrt(n))

    worse = bounds.diffusion(sde, lambda x, t: 0.8 * score(x, t), k3, batch, n)
    assert (worse - diffusion).mean() > 0.01


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_prior_kl_is_the_gaussian_one(sde):
    x = jax.random.normal(jax.random.key(0), (4, 2, 2, 1))
    a, s = float(sde.alpha(jnp.ones(1))[0]), float(sde.sigma(jnp.ones(1))[0])
    expected = 0.5 * np.sum((a * np.asarray(x) / s) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(bounds.prior_kl(sde, x), expected, rtol=1e-8)


def test_reconstruction_is_a_normalised_discrete_decoder():
    """Against a softmax written out, on the same draw of x_eps; small when the levels stand far apart, log(levels) when not."""
    levels, index = 17, jnp.arange(8)
    value = np.linspace(-1, 1, levels)
    x = jnp.asarray(value[np.random.default_rng(0).integers(0, levels, (8, 3, 3, 1))])
    near = bounds.reconstruction(VP(t_min=1e-3), levels, jax.random.key(0), Batch(x, index))
    assert 0 <= near.max() < 1e-3
    far = bounds.reconstruction(VP(t_min=1.0), levels, jax.random.key(0), Batch(x, index))
    np.testing.assert_allclose(far.mean(), 9 * np.log(levels), rtol=0.02)

    sde = VP(t_min=0.05)
    eps = np.asarray(
        bounds.diffuse(sde, 0 * x, jnp.full(8, 0.05), bounds.normal(bounds.keys_of(jax.random.key(0), index), x))
    )
    a, s = float(sde.alpha(jnp.full(1, 0.05))[0]), float(sde.sigma(jnp.full(1, 0.05))[0])
    logits = -0.5 * ((a * np.asarray(x) + eps)[..., None] - a * value) ** 2 / s**2
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = np.abs(np.asarray(x)[..., None] - value).argmin(-1)
    expected = -np.take_along_axis(log_p, chosen[..., None], -1).sum((1, 2, 3, 4))
    np.testing.assert_allclose(
        bounds.reconstruction(sde, levels, jax.random.key(0), Batch(x, index)), expected, rtol=1e-6
    )


def test_bits_per_dim():
    np.testing.assert_allclose(bounds.bits_per_dim(jnp.array([64 * np.log(2)]), jnp.zeros((1, 8, 8, 1))), 1.0)
