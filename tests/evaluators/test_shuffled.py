"""The control of shuffled z: it tells information in z from a correction of the prior's errors."""

import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.scores import bayes
from sde_vae.evaluators.bits_per_dim import bits_per_dim
from sde_vae.evaluators.noise_levels import noise_levels
from sde_vae.evaluators.shuffled import shuffled_images, shuffled_order
from tests.evaluators.test_multi_sample import SDE, V, context

# The prior takes x_0 ~ N(0, V) for N(OFF, V). SHIFT is the encoder's mean at t > 0, VARIANCE its variance.
OFF, SHIFT, VARIANCE = 0.3, 10.0, 0.1


def scales(x, t):
    a, s = (f(t)[:, None, None, None] for f in (SDE.alpha, SDE.sigma))
    return a, a**2 * V + s**2


def wrong_prior(x, t):
    a, variance = scales(x, t)
    return -(x - a * OFF) / variance


def mending_score(z):
    """The wrong prior with the gradient of a linear Gaussian q(z | x_t) = N(SHIFT - VARIANCE / SHIFT c.x_t, VARIANCE).

    c is the score that the prior lacks, the same for all x_t; z ~ N(0, 1) is independent of x_0.
    """

    def log_q(x, t):
        a, variance = scales(x, t)
        mean = SHIFT + VARIANCE / SHIFT * jnp.sum(a * OFF / variance * x, axis=(1, 2, 3))
        return DiagGaussian(mean[:, None], jnp.full_like(z, np.log(VARIANCE))).log_prob(z)

    return bayes(wrong_prior, log_q)


@pytest.fixture
def mending(tmp_path):
    encode = lambda x: DiagGaussian(jnp.zeros((len(x), 1)), jnp.zeros((len(x), 1)))
    return context(tmp_path, encode=encode, score=mending_score, prior=wrong_prior)


@pytest.mark.parametrize("n", [2, 3, 100])
def test_the_order_is_a_permutation_that_leaves_none_in_its_place(n):
    order = shuffled_order(n, seed=0)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    assert np.all(order != np.arange(n))
    images = np.arange(n) * 10
    np.testing.assert_array_equal(shuffled_images(images, seed=0), images[order])


def test_a_gain_over_a_wrong_prior_is_no_information_where_shuffled_z_has_it_too(mending):
    found = dict(noise_levels(mending))
    levels = sorted({float(name.split("/")[1]) for name in found if name.startswith("noise_level")})
    for level in levels:
        mse, prior, shuffled = (
            found[f"noise_level/{level:.1f}/{name}"] for name in ("mse", "prior_mse", "shuffled_mse")
        )
        error = found[f"noise_level/{level:.1f}/mse_stderr"]
        precision = 1 / V + np.exp(level)
        least, bias = 0.25 / precision, 0.25 * (OFF / V / precision) ** 2
        assert abs(prior - (least + bias)) < 4 * found[f"noise_level/{level:.1f}/prior_mse_stderr"] + 1e-5
        # 1 / SHIFT^2 of the prior's error is left, with any z.
        assert abs(mse - (least + bias / SHIFT**2)) < 4 * error + 1e-5
        assert abs(shuffled - mse) < 0.02 * bias + 1e-5
    assert (
        prior_excess := found["noise_level/-10.0/prior_mse"] - found["noise_level/-10.0/mse"]
    ) > 0.9 * 0.25 * OFF**2, prior_excess


def test_the_gain_in_bits_over_shuffled_z_is_none_and_that_over_the_prior_large(mending):
    found = dict(bits_per_dim(mending))
    assert found["bits_per_dim/kl"] == 0
    assert found["bits_per_dim/above_prior"] < -10 * found["bits_per_dim/above_prior_stderr"]
    assert found["bits_per_dim/above_prior"] < -0.5
    # All images have the same posterior: the z of another image is drawn from it too, with the same noise.
    assert found["bits_per_dim/gain_over_shuffled"] == 0
