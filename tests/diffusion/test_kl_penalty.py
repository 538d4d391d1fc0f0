"""The KL penalty: beta, free bits, warm-up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion import time_samplers, weights
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.methods.beta_vae import beta_vae
from sde_vae.methods.correction import network_corrector
from sde_vae.methods.diff_decoder import diff_decoder
from sde_vae.methods.method import Method
from sde_vae.methods.pdae import pdae, shifts_score
from sde_vae.methods.prior import predicts_velocity
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.decoder import Decoder
from sde_vae.nets.network import mapping
from sde_vae.training.train_state import adam, constant, init_state, make_update
from tests.helpers.small import LATENT, SDE, SHAPE, awake, given_z, image_batch, image_methods, image_posterior


def posterior(n=64, latent=5):
    k1, k2 = jax.random.split(jax.random.key(0))
    return DiagGaussian(jax.random.normal(k1, (n, latent)), jax.random.normal(k2, (n, latent)))


def test_without_more_it_is_beta_times_the_kl():
    q = posterior()
    np.testing.assert_allclose(kl_penalty(0.3)(q, None), 0.3 * q.kl_to_standard(), rtol=1e-6)


def test_free_bits_have_no_gradient_and_the_rest_has_that_of_the_kl():
    q, free = posterior(), 0.8
    gradient = jax.grad(lambda mean: jnp.sum(kl_penalty(1.0, free)(q._replace(mean=mean), None)))(q.mean)
    cheap = np.asarray(q.kl_per_dimension()) < free
    assert cheap.any()
    assert not cheap.all()
    np.testing.assert_array_equal(gradient[cheap], 0.0)
    np.testing.assert_allclose(gradient[~cheap], q.mean[~cheap], rtol=1e-6)
    # The penalty is never less than the free bits.
    assert np.all(kl_penalty(1.0, free)(q, None) >= 5 * free)


def test_the_weight_rises_linearly_to_beta_and_stays_there():
    q, penalty = posterior(), kl_penalty(2.0, warmup=10)
    for step, reached in ((0, 0.0), (1, 0.1), (5, 0.5), (10, 1.0), (1000, 1.0)):
        np.testing.assert_allclose(penalty(q, jnp.int32(step)), 2 * reached * q.kl_to_standard(), rtol=1e-6)


def warming(name):
    """(method, its frozen parameters); the weight of its KL rises over ten steps to 0.5."""
    penalty, times, weight = (
        kl_penalty(0.5, warmup=10),
        time_samplers.times_uniform_in_log_snr(SDE, 16),
        weights.likelihood_weighting(),
    )
    if name == "beta_vae":
        decoder = mapping(Decoder(8, (1,), 1, (), SHAPE, log_var=-1.0, learn_log_var=False), (LATENT,))
        return beta_vae(image_posterior(), decoder, penalty), {}
    if name == "diff_decoder":
        return diff_decoder(SDE, image_posterior(), given_z(), predicts_velocity, times, weight, penalty), {}
    prior, _ = image_methods()
    if name == "pdae":
        net = network_corrector(SDE, given_z())
        return pdae(SDE, prior, image_posterior(), net, shifts_score, times, weight, penalty), {
            "prior": prior.init(jax.random.key(1))
        }
    return score_vae(SDE, prior, image_posterior(), times, weight, penalty), {"prior": prior.init(jax.random.key(1))}


@pytest.mark.parametrize("name", ["score_vae", "beta_vae", "diff_decoder", "pdae"])
def test_every_method_warms_its_penalty_up_by_the_step_of_its_batch(name):
    method, frozen = warming(name)
    params = awake(method.init(jax.random.key(0)))
    loss = jax.jit(lambda step: method.loss(params, frozen, jax.random.key(2), image_batch()._replace(step=step)))
    (start, metrics), (half, _), (end, _) = (loss(jnp.int32(step)) for step in (0, 5, 10))
    assert metrics["loss/kl"] > 0.01
    np.testing.assert_allclose(half - start, 0.25 * metrics["loss/kl"], rtol=1e-3)
    np.testing.assert_allclose(end - start, 0.5 * metrics["loss/kl"], rtol=1e-3)


def test_an_update_writes_its_step_into_the_batch():
    def loss(params, frozen, key, batch):
        step = jnp.float32(batch.step)
        return params * step, {"step": step}

    counting, optimiser = Method(lambda key: jnp.float32(1.0), loss, None, None), adam(1e-3, 10, 0, 1.0, constant)
    update, state = make_update(counting, optimiser, 0.9), init_state(counting, optimiser, jax.random.key(0))
    seen = []
    for _ in range(3):
        state, metrics = update(state, {}, jax.random.key(1), image_batch())
        seen.append(int(metrics["step"]))
    assert seen == [0, 1, 2]


def test_the_penalty_does_not_depend_on_how_a_batch_is_split():
    q, penalty = posterior(), kl_penalty(1.0, 0.5)
    whole = penalty(q, None)
    halves = [penalty(DiagGaussian(q.mean[s], q.log_var[s]), None) for s in (slice(0, 32), slice(32, 64))]
    np.testing.assert_array_equal(whole, np.concatenate(halves))
