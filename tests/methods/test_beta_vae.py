"""beta-VAE: on a linear Gaussian world its loss is the exact negative log-likelihood."""

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.methods.beta_vae import beta_vae
from sde_vae.methods.posteriors import noisy_input
from sde_vae.nets.decoder import Decoder
from sde_vae.nets.network import Network, mapping
from sde_vae.types import Batch
from tests.helpers.oracles import gaussian_logpdf
from tests.helpers.small import LATENT, SDE, SHAPE, awake, image_batch, image_posterior

W, S = jnp.array([[1.5, 0.0], [0.0, 0.7], [0.0, 0.0]]), 0.4  # x = W z + s noise: columns orthogonal


def exact(scale=1.0):
    """Probabilistic PCA: p(x | z) = N(W z, s^2), and its exact posterior (diagonal, W's columns being orthogonal)."""
    precision = jnp.sum(W**2, axis=0) / S**2 + 1

    def posterior(params, x, log_snr, keys):
        return DiagGaussian(
            scale * x @ W / (S**2 * precision[None]), jnp.broadcast_to(-jnp.log(precision), (len(x), 2))
        )

    def likelihood(params, z):
        return DiagGaussian(z @ W.T, jnp.full((len(z), 3), 2 * jnp.log(S)))

    return noisy_input(SDE, Network(lambda key: {}, posterior)), Network(lambda key: {}, likelihood)


def nats_and_error(method, n=40_000):
    x = jax.random.normal(jax.random.key(0), (n, 2)) @ W.T + S * jax.random.normal(jax.random.key(1), (n, 3))
    params = method.init(jax.random.key(2))
    # One image a batch: the spread of the estimates is then known.
    of_one = lambda x, i: method.loss(params, {}, jax.random.key(3), Batch(x[None], i[None]))[0]
    losses = jax.jit(jax.vmap(of_one))(x, jnp.arange(n))
    truth = -gaussian_logpdf(x, jnp.zeros((n, 3)), W @ W.T + S**2 * jnp.eye(3))
    difference = losses - truth
    return float(jnp.mean(difference)), float(jnp.std(difference)) / np.sqrt(n)


def test_at_beta_1_it_is_the_exact_likelihood_for_the_exact_posterior(x64):
    gap, error = nats_and_error(beta_vae(*exact(), kl_penalty(1.0)))
    assert abs(gap) < 4 * error


def test_with_another_posterior_it_lies_above_by_the_kl_between_them(x64):
    """The gap is E KL(q || p(z | x)), with means that are 20 percent too short: (0.2 mean)^2 / (2 var), summed."""
    gap, error = nats_and_error(beta_vae(*exact(0.8), kl_penalty(1.0)))
    precision = np.asarray(jnp.sum(W**2, axis=0) / S**2 + 1)
    variance_of_mean = 1 - 1 / precision  # of the exact posterior's, over x
    assert abs(gap - np.sum(0.5 * 0.2**2 * variance_of_mean * precision)) < 4 * error


def test_beta_weighs_the_kl_and_nothing_else(x64):
    posterior, decoder = exact()
    args = ({"encoder": {}, "decoder": {}}, {}, jax.random.key(0), Batch(jnp.ones((4, 3)), jnp.arange(4)))
    one, metrics = beta_vae(posterior, decoder, kl_penalty(1.0)).loss(*args)
    three, _ = beta_vae(posterior, decoder, kl_penalty(3.0)).loss(*args)
    np.testing.assert_allclose(three - one, 2 * metrics["loss/kl"], rtol=1e-12)


def images(learn=False):
    decoder = Decoder(8, (1,), 1, (), SHAPE, log_var=-1.0, learn_log_var=learn)
    return beta_vae(image_posterior(), mapping(decoder, (LATENT,)), kl_penalty(1.0))


def test_the_decoder_has_one_variance_fixed_or_learnt():
    z = jax.random.normal(jax.random.key(0), (5, LATENT))
    for learn in (False, True):
        method = images(learn)
        params = jax.jit(method.init)(jax.random.key(1))
        p = jax.jit(method.likelihood)(params, {}, z)
        assert p.mean.shape == p.log_var.shape == (5, *SHAPE)
        np.testing.assert_allclose(p.log_var, -1.0, rtol=1e-6)
        assert ("log_var" in params["decoder"]) == learn


def test_every_parameter_is_trained():
    method = images(learn=True)
    params = awake(jax.jit(method.init)(jax.random.key(0)))
    gradient = jax.jit(jax.grad(lambda p: method.loss(p, {}, jax.random.key(1), image_batch())[0]))(params)
    assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(gradient))
