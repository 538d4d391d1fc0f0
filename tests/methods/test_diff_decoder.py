"""DiffDecoder: a conditional score that can do without its latent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.losses import denoising
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
from sde_vae.diffusion.weights import likelihood_weighting
from sde_vae.methods.diff_decoder import diff_decoder
from sde_vae.methods.posteriors import point_posterior
from sde_vae.methods.prior import predicts_velocity
from tests.helpers.small import LATENT, SDE, awake, given_z, image_batch, image_posterior

TIMES, WEIGHT = times_uniform_in_log_snr(SDE, 16), likelihood_weighting()


def method(beta=0.1, latent_dropout=0.0, guidance=1.0, posterior=None):
    return diff_decoder(
        SDE,
        posterior or image_posterior(),
        given_z(),
        predicts_velocity,
        TIMES,
        WEIGHT,
        kl_penalty(beta),
        latent_dropout,
        guidance,
    )


@pytest.fixture
def params():
    return awake(jax.jit(method().init)(jax.random.key(0)), 0.2)


def test_encoder_and_decoder_are_trained_together(params):
    gradient = jax.jit(jax.grad(lambda p: method().loss(p, {}, jax.random.key(1), image_batch())[0]))(params)
    assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(gradient))


def test_its_loss_is_the_conditional_scores_and_the_kl(params):
    batch = image_batch()
    m = method(posterior=point_posterior(image_posterior()), beta=0.3)
    total, metrics = jax.jit(m.loss)(params, {}, jax.random.key(1), batch)
    *_, key = jax.random.split(jax.random.key(1), 4)
    # A point's sample is its mean, but for 3e-4.
    q = m.encode(params, {}, batch.x)
    diffusion = jnp.mean(denoising(SDE, jax.jit(m.score(params, {}, q.mean)), TIMES, WEIGHT, key, batch))
    np.testing.assert_allclose(metrics["loss/diffusion"], diffusion, rtol=1e-2)
    np.testing.assert_allclose(total, metrics["loss/diffusion"] + 0.3 * jnp.mean(q.kl_to_standard()), rtol=1e-5)


def test_a_latent_that_is_always_withheld_teaches_the_encoder_nothing(params):
    m = method(beta=0.0, latent_dropout=1.0)
    gradient = jax.jit(jax.grad(lambda p: m.loss(p, {}, jax.random.key(1), image_batch())[0]))(params)
    assert all(np.all(np.asarray(g) == 0) for g in jax.tree.leaves(gradient["encoder"]))
    assert any(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(gradient["decoder"]))


def test_the_latent_is_withheld_as_often_as_asked(params):
    """By the examples whose loss z does not change."""
    n, rate = 400, 0.3
    batch = image_batch(n)
    m = method(latent_dropout=rate)

    def per_example(encoder_shift):
        shifted = params | {"encoder": jax.tree.map(lambda a: a + encoder_shift, params["encoder"])}
        of_one = lambda x, i: m.loss(shifted, {}, jax.random.key(1), batch._replace(x=x[None], index=i[None]))[1]
        return jax.jit(jax.vmap(of_one))(batch.x, batch.index)["loss/diffusion"]

    withheld = int(np.sum(np.asarray(per_example(0.0)) == np.asarray(per_example(0.3))))
    assert abs(withheld - n * rate) < 4 * np.sqrt(n * rate * (1 - rate))


def test_guidance_extrapolates_from_the_score_without_z(params):
    x, t, z = image_batch().x, jnp.full(16, 0.5), jnp.ones((16, LATENT))
    of = lambda gamma, z: jax.jit(method(latent_dropout=0.1, guidance=gamma).score(params, {}, z))(x, t)
    at = lambda gamma: np.asarray(of(gamma, z))
    without = at(0.0)
    np.testing.assert_allclose(at(3.0) - without, 3 * (at(1.0) - without), rtol=1e-3, atol=1e-4)
    assert np.abs(at(1.0) - without).max() > 1e-2
    # And that one does not depend on z.
    np.testing.assert_allclose(without, of(0.0, -z), rtol=1e-5, atol=1e-6)
