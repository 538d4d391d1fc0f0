"""A beta-VAE's image, finished by a prior: in a linear-Gaussian world all that comes out is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.scores import denoised_of_noise, noise_of_score
from sde_vae.diffusion.sdes import VE, VP, SubVP
from sde_vae.methods.beta_vae import beta_vae
from sde_vae.methods.diffuse_vae import diffuse_vae
from sde_vae.methods.method import Method
from sde_vae.nets.decoder import Decoder
from sde_vae.nets.network import mapping
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.stochastic import ancestral
from tests.helpers.chains import chains
from tests.helpers.oracles import LinearGaussian
from tests.helpers.small import LATENT, SHAPE, image_batch, image_methods, image_posterior

AT, STEPS = -1.0, 1000
M = np.array([0.8, -1.5, 0.3])  # the VAE's image


def exact(sde, world):
    """A VAE that says M whatever z, with the exact prior of `world`."""
    vae = Method(None, None, likelihood=lambda params, frozen, z: DiagGaussian(M[None] + 0 * z, 0 * z))
    prior = Method(None, None, unconditional=lambda params, frozen: world.marginal_score(sde))
    return diffuse_vae(sde, vae, prior, AT)


@pytest.mark.parametrize("sde", [VP(), SubVP(), VE(), RectifiedFlow()], ids=str)
def test_it_draws_from_the_prior_given_the_noised_image(x64, sde):
    """x_s ~ N(alpha M, sigma^2 I) at the level where the prior takes over, then p(x_0 | x_s): a Gaussian, by conditioning."""
    world = LinearGaussian.random(jax.random.key(0))
    mean, cov = np.asarray(world.m), np.asarray(world.C)
    score = lambda x, t: exact(sde, world).score({}, {"prior": {}}, jnp.zeros_like(x))(x, t)
    grid = uniform_log_snr(sde, STEPS)
    start = float(sde.sigma(jnp.full(1, sde.T))[0]) ** 2 * np.eye(3)
    found_mean, found_cov = chains(ancestral(sde, score), 3, [grid])[0].moments(np.zeros(3), start)

    t = sde.t_of_log_snr(jnp.full(1, AT))
    a, s = float(sde.alpha(t)[0]), float(sde.sigma(t)[0])
    gain = a * cov @ np.linalg.inv(a**2 * cov + s**2 * np.eye(3))
    expected_mean = mean + gain @ (a * M - a * mean)
    expected_cov = cov - a * gain @ cov + s**2 * gain @ gain.T
    scale = np.sqrt(np.trace(cov))
    # Of first order in the steps; at t_min there is noise of sigma left.
    low, high = np.asarray(sde.log_snr(jnp.array([sde.T, sde.t_min])))
    end = float(sde.sigma(jnp.full(1, sde.t_min))[0])
    tolerance = 0.5 * (high - low) / STEPS + end
    assert np.linalg.norm(expected_mean - mean) > 10 * tolerance * scale
    np.testing.assert_allclose(found_mean, expected_mean, atol=tolerance * scale)
    np.testing.assert_allclose(found_cov, expected_cov, atol=tolerance * scale**2)


def test_the_vae_decodes_below_the_level_and_the_prior_above(x64):
    sde, world = VP(), LinearGaussian.random(jax.random.key(0))
    score = exact(sde, world).score({}, {"prior": {}}, jnp.zeros((5, 3)))
    x, t = jax.random.normal(jax.random.key(1), (5, 3)), sde.t_of_log_snr(jnp.array([-8.0, -4.0, -1.01, -0.99, 5.0]))
    denoised = lambda score: denoised_of_noise(sde, noise_of_score(sde, score(x, t), t), x, t)
    np.testing.assert_allclose(denoised(score)[:3], np.broadcast_to(M, (3, 3)), rtol=1e-9)
    np.testing.assert_allclose(score(x, t)[3:], world.marginal_score(sde)(x, t)[3:], rtol=1e-12)


def test_it_is_trained_as_the_beta_vae():
    vae = beta_vae(image_posterior(), mapping(Decoder(8, (1,), 1, (), SHAPE, 0.0, False), (LATENT,)), kl_penalty(0.1))
    prior, _ = image_methods()
    method = diffuse_vae(VP(), vae, prior, AT)
    params, frozen = jax.jit(vae.init)(jax.random.key(0)), {"prior": jax.jit(prior.init)(jax.random.key(1))}
    of = lambda m, frozen: jax.jit(lambda: m.loss(params, frozen, jax.random.key(2), image_batch()))()
    jax.tree.map(np.testing.assert_array_equal, of(method, frozen), of(vae, {}))
    q, expected = (m.encode(params, frozen, image_batch().x) for m in (method, vae))
    np.testing.assert_array_equal(q.mean, expected.mean)
    assert method.likelihood is None
