"""PDAE: its optimum is the gradient of log p(z | x_t), it starts as its prior, and it trains on a prior that stays as it is."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.build.config import load_config
from sde_vae.build.experiment import build
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.scores import noise_of_score, velocity_of_noise
from sde_vae.diffusion.sdes import VE, VP
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
from sde_vae.diffusion.weights import likelihood_weighting
from sde_vae.methods.correction import Corrector, network_corrector, sharing_corrector
from sde_vae.methods.method import Method, abstract_params
from sde_vae.methods.pdae import pdae, shifts_score, shifts_velocity
from sde_vae.methods.posteriors import Posterior
from sde_vae.methods.prior import precondition
from sde_vae.nets.network import network
from sde_vae.nets.shift_unet import OF_PRIOR, ShiftUNet
from sde_vae.nets.unet import UNet
from sde_vae.types import Batch
from tests.helpers.oracles import LinearGaussian
from tests.helpers.small import (
    LATENT,
    SDE,
    SHAPE,
    SMALLEST_UNET,
    TwoLayers,
    awake,
    given_z,
    image_batch,
    image_methods,
    image_posterior,
)

TIMES, WEIGHT = times_uniform_in_log_snr(SDE, 16), likelihood_weighting()


def shift_networks(dropout=0.0):
    """The shift network on the prior's down path, and one of its own."""
    shared = network(ShiftUNet(8, (1,), 1, dropout=dropout), SHAPE, z=(LATENT,))
    own = given_z(dropout)
    return {"up_path": sharing_corrector(SDE, shared, OF_PRIOR), "network": network_corrector(SDE, own)}


# An up path stands on the down path of a U-Net.
PRIORS = {"up_path": SMALLEST_UNET, "network": TwoLayers}


@pytest.fixture(params=PRIORS)
def body(request):
    return request.param


def method_of(body, dropout=0.0, guidance=1.0, shift=shifts_score, beta=0.1):
    p, _ = image_methods(net=PRIORS[body])
    net = shift_networks(dropout)[body]
    return pdae(SDE, p, image_posterior(), net, shift, TIMES, WEIGHT, kl_penalty(beta), guidance)


@cache
def frozen_prior(body):
    return {"prior": awake(image_methods(net=PRIORS[body])[0].init(jax.random.key(0)))}


@cache
def initial(body):
    return method_of(body).init(jax.random.key(1))


class World:
    """Gaussian data, exact prior, exact encoder, and the shift `scale` grad log p(z | x_t) + params . features."""

    def __init__(self, sde, scale=1.0):
        self.sde, self.data = sde, LinearGaussian.random(jax.random.key(5))
        self.strata = 1024

        def residual(params, prior, x, t, z, keys):
            del prior, keys
            exact = jax.grad(lambda x: jnp.sum(self.data.log_likelihood(sde, z)(x, t)))(x)
            features = jnp.concatenate([x, z, jnp.tanh(x * z[:, :1]), sde.log_snr(t)[:, None]], axis=1)
            return scale * exact + features @ params

        z_given_x = lambda x: DiagGaussian(
            x @ self.data.A.T, jnp.full((len(x), len(self.data.A)), 2 * np.log(self.data.s))
        )
        posterior = Posterior(lambda key: {}, lambda params, x, keys=None: z_given_x(x), lambda *_: None)
        no_loss = lambda *_: (jnp.zeros(()), {})
        exact_prior = Method(
            lambda key: {}, no_loss, unconditional=lambda params, frozen: self.data.marginal_score(sde)
        )
        # Features: x and tanh have 3 entries each, z has 2, and logSNR one.
        net = Corrector(lambda key: jnp.zeros((9, 3)), residual)
        times = times_uniform_in_log_snr(sde, self.strata)
        self.method = pdae(
            sde, exact_prior, posterior, net, shifts_score, times, likelihood_weighting(), kl_penalty(0.0)
        )
        self.params = {"encoder": {}, "shift": jnp.zeros((9, 3))}

    def gradients(self, draws=60):
        """The loss's gradient in the shift's parameters: an estimate from each of many batches."""

        def one(key):
            key_x, key = jax.random.split(key)
            batch = Batch(self.data.sample(key_x, self.strata)[0], jnp.arange(self.strata))
            return jax.grad(lambda p: self.method.loss(p, {"prior": {}}, key, batch)[0])(self.params)["shift"]

        return np.asarray(jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(7), draws)))


@pytest.mark.parametrize("sde", [VP(), VE(sigma_min=0.05, sigma_max=20.0)], ids=["vp", "ve"])
def test_with_the_gradient_of_the_posterior_its_score_is_the_conditional_one(x64, sde):
    world = World(sde)
    x, z = world.data.sample(jax.random.key(2), 50)
    t = jnp.linspace(0.02, 1.0, 50)
    ours, exact = world.method.score(world.params, {"prior": {}}, z), world.data.conditional_score(sde, z)
    np.testing.assert_allclose(jax.jit(ours)(x, t), jax.jit(exact)(x, t), rtol=1e-9, atol=1e-9)


def test_that_gradient_is_where_its_loss_is_stationary(x64):
    """In 27 directions, within 4 standard errors of a mean of 60 batches; at eight tenths of it, it is not."""
    largest = {}
    for scale in (0.8, 1.0):
        found = World(VP(), scale).gradients()
        largest[scale] = np.abs(found.mean(0) / (found.std(0, ddof=1) / np.sqrt(len(found)))).max()
    assert largest[1.0] < 4
    assert largest[0.8] > 8


def test_the_papers_shift_of_the_mean_is_a_shift_of_the_noise_by_sigma(x64):
    """Of N steps: mu(eps - c G) = mu(eps) + Sigma G with the paper's c, which tends to sigma as 1 / N."""
    sde, far = VP(), {}
    for steps in (1000, 4000):
        bar = np.asarray(jnp.square(sde.alpha(jnp.linspace(0.0, 1.0, steps + 1))))
        alpha, before, bar = bar[1:] / bar[:-1], bar[:-1], bar[1:]
        beta = 1 - alpha
        variance = beta * (1 - before) / (1 - bar)
        c = np.sqrt(alpha) * np.sqrt(1 - bar) / beta * variance
        mean = lambda eps, a=alpha, bar=bar: (1.0 - (1 - a) / np.sqrt(1 - bar) * eps) / np.sqrt(a)
        np.testing.assert_allclose(mean(0.3 - 2.0 * c) - mean(0.3), 2.0 * variance, rtol=1e-9)
        far[steps] = np.abs(c / np.sqrt(1 - bar) - 1)[steps // 10 :].max()
    assert 3.8 < far[1000] / far[4000] < 4.2


def test_before_training_it_is_its_prior(body):
    frozen, x, t = frozen_prior(body), image_batch().x, jnp.linspace(0.01, 1, 16)
    method, params = method_of(body), initial(body)
    ours = jax.jit(method.score(params, frozen, jnp.ones((16, LATENT))))(x, t)
    np.testing.assert_array_equal(ours, jax.jit(method.unconditional(params, frozen))(x, t))
    # And the first update of the shift network moves it.
    gradient = jax.jit(jax.grad(lambda p: method.loss(p, frozen, jax.random.key(3), image_batch())[0]))(params)
    assert sum(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(gradient["shift"])) == 2


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_encoder_and_shift_are_trained_and_the_prior_is_not(body, beta):
    method, frozen = method_of(body, beta=beta), frozen_prior(body)
    of = lambda params, frozen: method.loss(params, frozen, jax.random.key(3), image_batch())[0]
    to_params, to_frozen = jax.jit(jax.grad(of, argnums=(0, 1)))(awake(initial(body), 0.2), frozen)
    assert all(np.all(np.asarray(g) == 0) for g in jax.tree.leaves(to_frozen))
    assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(to_params))


def test_the_shared_down_path_is_the_priors():
    """With the prior's own middle and up path, and nothing of z, the network is the prior's U-Net."""
    unet = network(UNet(8, (1, 2), 1, attention=(2,)), SHAPE)
    shift = sharing_corrector(
        SDE, network(ShiftUNet(8, (1, 2), 1, attention=(2,), dropout=0.5), SHAPE, z=(LATENT,)), OF_PRIOR
    )
    prior = awake(jax.jit(unet.init)(jax.random.key(0)), 0.3)
    trained = jax.jit(shift.init)(jax.random.key(1))
    assert not set(OF_PRIOR) & set(trained)
    assert set(OF_PRIOR) | (set(trained) - {"LatentEmbedding_0"}) == set(prior)
    # Each block of the shift network has one more layer, which scales and shifts by z.
    without_z = {
        name: {"latent": jax.tree.map(jnp.zeros_like, of["latent"]), **prior[name]} if "latent" in of else prior[name]
        for name, of in trained.items()
        if name != "LatentEmbedding_0"
    }
    params = trained | without_z
    x, t, z = image_batch().x, jnp.linspace(0.01, 1, 16), jnp.ones((16, LATENT))
    ours = jax.jit(lambda: shift.residual(params, prior, x, t, z, None))()
    np.testing.assert_allclose(ours, jax.jit(lambda: precondition(SDE, unet, prior, x, t))(), rtol=1e-5, atol=1e-5)


def test_it_depends_on_z_and_on_the_shared_features():
    method, frozen = method_of("up_path"), frozen_prior("up_path")
    params, x, t, z = awake(initial("up_path"), 0.2), image_batch().x, jnp.full(16, 0.5), jnp.ones((16, LATENT))
    shift = jax.jit(
        lambda frozen, z: method.score(params, frozen, z)(x, t) - method.unconditional(params, frozen)(x, t)
    )
    other = {"prior": awake(frozen["prior"], 0.3)}
    assert np.abs(shift(frozen, z) - shift(frozen, -z)).max() > 1e-3
    assert np.abs(shift(frozen, z) - shift(other, z)).max() > 1e-3


def test_the_output_is_a_shift_of_the_score_or_of_the_velocity(body):
    frozen, x, z, t = frozen_prior(body), image_batch().x, jnp.ones((16, LATENT)), jnp.linspace(SDE.t_min, SDE.T, 16)
    score, velocity = (method_of(body, shift=shift) for shift in (shifts_score, shifts_velocity))
    params = awake(initial(body), 0.2)
    output = jax.jit(shift_networks()[body].residual)(params["shift"], frozen["prior"], x, t, z, None)
    at = lambda score: jax.jit(score)(x, t)
    prior = at(score.unconditional(params, frozen))
    added = at(score.score(params, frozen, z)) - prior
    # At t_min the score is of order 1 / sigma = 100, of which float32 keeps 1e-5.
    np.testing.assert_allclose(added, output, atol=1e-4)
    as_velocity = lambda score: velocity_of_noise(SDE, noise_of_score(SDE, score, t), x, t)
    added = as_velocity(at(velocity.score(params, frozen, z))) - as_velocity(prior)
    # Float32 of a velocity is a thousandth of one at t = 1, where it is a noise divided by alpha.
    np.testing.assert_allclose(added, output, atol=5e-3)


def test_guidance_applies_when_decoding_and_not_in_training(body):
    frozen, x, t, z = frozen_prior(body), image_batch().x, jnp.full(16, 0.5), jnp.ones((16, LATENT))
    plain, guided = method_of(body), method_of(body, guidance=3.0)
    params = awake(initial(body), 0.2)
    losses = [jax.jit(m.loss)(params, frozen, jax.random.key(2), image_batch())[0] for m in (plain, guided)]
    assert losses[0] == losses[1]
    prior = jax.jit(plain.unconditional(params, frozen))(x, t)
    one, three = (jax.jit(m.score(params, frozen, z))(x, t) - prior for m in (plain, guided))
    np.testing.assert_allclose(three, 3 * one, rtol=1e-4, atol=1e-4)


def test_dropout_is_on_in_training_and_only_then(body):
    frozen, x, t, z = frozen_prior(body), image_batch().x, jnp.full(16, 0.5), jnp.ones((16, LATENT))
    never, often = method_of(body), method_of(body, dropout=0.5)
    params = awake(initial(body), 0.2)
    loss = lambda method: float(jax.jit(method.loss)(params, frozen, jax.random.key(3), image_batch())[0])
    assert abs(loss(never) - loss(often)) > 1e-4 * loss(never)
    np.testing.assert_array_equal(*(jax.jit(m.score(params, frozen, z))(x, t) for m in (never, often)))


def test_the_latent_is_a_point_without_a_kl():
    config, log_vars = load_config("pdae_digits"), {}
    for beta in (0.0, 0.01):
        config.loss.beta = beta
        method = build(config).final.method
        nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), abstract_params(method))
        log_vars[beta] = np.asarray(jax.jit(method.encode)(nothing, {}, jnp.ones((2, 8, 8, 1))).log_var)
    assert np.all(log_vars[0.0] == -16)
    # Of a network of zeros: the encoder's own.
    assert np.all(log_vars[0.01] == 0)
