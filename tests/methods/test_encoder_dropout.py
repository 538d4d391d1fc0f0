"""An encoder's dropout: in the loss of every method, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.build.fields import default_config
from sde_vae.build.nets import build_encoder
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
from sde_vae.diffusion.weights import likelihood_weighting
from sde_vae.methods.beta_vae import beta_vae
from sde_vae.methods.correction import network_corrector
from sde_vae.methods.diff_decoder import diff_decoder
from sde_vae.methods.pdae import pdae, shifts_score
from sde_vae.methods.posteriors import denoised_input, filtered_input, lifted, noisy_input, point_posterior
from sde_vae.methods.prior import predicts_velocity, prior
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.network import Network
from sde_vae.types import Batch
from tests.helpers.small import SDE, awake, tanh_network

TIMES, WEIGHT, PENALTY = times_uniform_in_log_snr(SDE, 8), likelihood_weighting(), kl_penalty(0.1)
PRIOR = prior(SDE, tanh_network(2, 2), predicts_velocity, TIMES, WEIGHT)
BATCH = Batch(jax.random.normal(jax.random.key(7), (8, 2)), jnp.arange(8))


def loud(inputs, outputs):
    """An encoder's network that is off by a number that each key draws, and by nothing without keys."""
    plain = tanh_network(inputs, outputs)

    def apply(params, x, log_snr, keys=None):
        mean = plain.apply(params, x, log_snr)
        off = 0.0 if keys is None else jax.vmap(jax.random.normal)(keys)[:, None]
        return DiagGaussian(mean + off, jnp.zeros_like(mean))

    return Network(plain.init, apply)


def silent(net):
    return Network(net.init, lambda params, x, log_snr, keys=None: net.apply(params, x, log_snr))


def times_sum_of_z(params, x, log_snr, keys=None, *, z, keep=None):
    return x * jnp.sum(z, axis=1, keepdims=True)


METHODS = {
    "score_vae": lambda posterior: score_vae(SDE, PRIOR, posterior, TIMES, WEIGHT, PENALTY),
    "diff_decoder": lambda posterior: diff_decoder(
        SDE, posterior, Network(lambda key: {}, times_sum_of_z), predicts_velocity, TIMES, WEIGHT, PENALTY
    ),
    "pdae": lambda posterior: pdae(
        SDE,
        PRIOR,
        posterior,
        network_corrector(SDE, Network(lambda key: {}, times_sum_of_z)),
        shifts_score,
        TIMES,
        WEIGHT,
        PENALTY,
    ),
    "beta_vae": lambda posterior: beta_vae(
        posterior, Network(lambda key: {}, lambda params, z: DiagGaussian(z, jnp.zeros_like(z))), PENALTY
    ),
}


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_it_is_in_the_loss_and_in_nothing_that_is_evaluated(make):
    net = loud(2, 2)
    never, often = (make(noisy_input(SDE, net)) for net in (silent(net), net))
    frozen, params = {"prior": PRIOR.init(jax.random.key(0))}, never.init(jax.random.key(1))
    # The KL has no other randomness than the masks'.
    kl = lambda method, key: float(method.loss(params, frozen, jax.random.key(key), BATCH)[1]["loss/kl"])
    assert kl(never, 2) == kl(never, 3)
    assert len({kl(never, 2), kl(often, 2), kl(often, 3)}) == 3
    np.testing.assert_array_equal(*(method.encode(params, frozen, BATCH.x).mean for method in (never, often)))
    z, t = jnp.ones((8, 2)), jnp.full(8, 0.5)
    if never.likelihood:
        decoded = [method.likelihood(params, frozen, z).mean for method in (never, often)]
    else:
        decoded = [method.score(params, frozen, z)(BATCH.x, t) for method in (never, often)]
    np.testing.assert_array_equal(*decoded)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_it_is_as_the_config_says(rate):
    config = default_config()
    config.model.encoder.dropout = rate
    net = build_encoder(config, (8, 8, 1), 4)
    params, x = awake(jax.jit(net.init)(jax.random.key(0))), jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    plain, dropped = (
        jax.jit(net.apply)(params, x, jnp.zeros(2), *k).mean for k in ([], [jax.random.split(jax.random.key(2))])
    )
    assert np.allclose(plain, dropped, atol=1e-4) == (rate == 0)


POSTERIORS = {
    "x_t": lambda net: noisy_input(SDE, net(2, 4)),
    "filtered": lambda net: filtered_input(SDE, net(3, 4)),
    "denoised": lambda net: denoised_input(SDE, net(2, 4), PRIOR),
    "point": lambda net: point_posterior(noisy_input(SDE, net(2, 4))),
    "lifted": lambda net: lifted(SDE, noisy_input(SDE, net(2, 4)), 1, tanh_network(1, 3)),
}


@pytest.mark.parametrize("make", POSTERIORS.values(), ids=POSTERIORS)
def test_every_posterior_hands_on_the_keys_of_each_example(make):
    posterior, x, t = make(loud), BATCH.x, jnp.full(8, 0.5)
    frozen, params = {"prior": PRIOR.init(jax.random.key(0))}, posterior.init(jax.random.key(1))
    keys = jax.random.split(jax.random.key(2), 8)
    off = np.asarray(jax.vmap(jax.random.normal)(keys))[:, None]
    for of in (posterior.clean, lambda params, x, *keys: posterior.noisy(params, frozen, x, t, *keys)):
        np.testing.assert_allclose(
            of(params, x, keys).mean - of(params, x).mean, off + 0 * of(params, x).mean, atol=1e-5
        )


def test_x_0_and_x_t_have_masks_of_their_own():
    """One density at each, so that what is added to the score is the gradient of a thinned encoder's log q."""
    seen = []

    def apply(params, x, log_snr, keys=None):
        seen.append(np.asarray(jax.random.key_data(keys)))
        return DiagGaussian(x, jnp.zeros_like(x))

    method = METHODS["score_vae"](noisy_input(SDE, Network(lambda key: {}, apply)))
    method.loss({}, {"prior": PRIOR.init(jax.random.key(0))}, jax.random.key(1), BATCH)
    clean, noisy = seen
    assert clean.shape == noisy.shape
    assert not np.any(np.all(clean == noisy, axis=1))
