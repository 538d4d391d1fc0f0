"""ScoreVAE+: zero at the start, trained alone, and what it must repair."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import keys_of
from sde_vae.diffusion.losses import denoising
from sde_vae.diffusion.scores import noise_of_score, velocity_of_noise
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
from sde_vae.diffusion.weights import likelihood_weighting
from sde_vae.methods.correction import corrected, head_corrector, network_corrector
from sde_vae.nets.head import CorrectionHead
from sde_vae.nets.network import network
from sde_vae.nets.unet import UNetFeatures
from tests.helpers.small import LATENT, SDE, SHAPE, SMALLEST_UNET, TwoLayers, awake, given_z, image_batch, image_methods

TIMES, WEIGHT = times_uniform_in_log_snr(SDE, 16), likelihood_weighting()
BODY = UNetFeatures(8, (1,), 1)
CORRECTORS = {
    "network": network_corrector(SDE, given_z(zero=False)),
    "head": head_corrector(
        SDE, network(BODY, SHAPE), network(CorrectionHead(8, 1, SHAPE[-1]), (*SHAPE[:-1], 8), z=(LATENT,))
    ),
}


@pytest.fixture(params=CORRECTORS)
def corrector(request):
    return CORRECTORS[request.param]


@cache
def frozen_parameters(name):
    """Of the prior and of the encoder, by stage."""
    p, base = image_methods(net=PRIORS[name])
    return {
        "prior": awake(jax.jit(p.init)(jax.random.key(0))),
        "encoder": awake(jax.jit(base.init)(jax.random.key(1))),
    }


# A head stands on the features of a U-Net.
PRIORS = {"network": TwoLayers, "head": SMALLEST_UNET}


@pytest.fixture
def world(request, corrector):
    """(ScoreVAE, ScoreVAE+, the frozen parameters of prior and encoder)."""
    name = request.node.callspec.params["corrector"]
    frozen, (_, base) = frozen_parameters(name), image_methods(net=PRIORS[name])
    return base, corrected(SDE, base, base, corrector, TIMES, WEIGHT), frozen


def test_before_training_it_is_score_vae(world):
    base, plus, frozen = world
    params = jax.jit(plus.init)(jax.random.key(2))
    x, t, z = image_batch().x, jnp.linspace(0.01, 1, 16), jnp.ones((16, LATENT))
    ours, score_vaes = jax.jit(plus.score(params, frozen, z)), jax.jit(base.score(frozen["encoder"], frozen, z))
    np.testing.assert_allclose(ours(x, t), score_vaes(x, t), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(plus.encode(params, frozen, x).mean, base.encode(frozen["encoder"], frozen, x).mean)


def test_its_loss_is_the_residuals(world):
    """|| eps_hat of ScoreVAE and network - eps ||^2, z ~ q(z | x_0)."""
    base, plus, frozen = world
    params, batch, key = awake(jax.jit(plus.init)(jax.random.key(2)), 0.2), image_batch(), jax.random.key(3)
    total, _ = jax.jit(plus.loss)(params, frozen, key, batch)
    key_z, _, key = jax.random.split(key, 3)
    z = base.encode(frozen["encoder"], frozen, batch.x).sample(keys_of(key_z, batch.index))
    score = jax.jit(plus.score(params, frozen, z))
    np.testing.assert_allclose(total, jnp.mean(denoising(SDE, score, TIMES, WEIGHT, key, batch)), rtol=1e-5)
    # Away from zero it is another score than ScoreVAE's, by as much noise whatever z's score is.
    x, t = batch.x, jnp.full(16, 0.5)
    before, after = (
        noise_of_score(SDE, s(x, t), t) for s in (jax.jit(base.score(frozen["encoder"], frozen, z)), score)
    )
    assert np.abs(after - before).max() > 1e-2


def test_the_network_is_added_to_the_velocity(world, corrector):
    """At every noise level alike, whatever that is in units of noise or of the image."""
    base, plus, frozen = world
    x, z, t = image_batch().x, jnp.ones((16, LATENT)), jnp.linspace(SDE.t_min, SDE.T, 16)
    params = awake(jax.jit(plus.init)(jax.random.key(2)))
    velocity = lambda score: velocity_of_noise(SDE, noise_of_score(SDE, jax.jit(score)(x, t), t), x, t)
    added = velocity(plus.score(params, frozen, z)) - velocity(base.score(frozen["encoder"], frozen, z))
    expected = params["gate"] * jax.jit(corrector.residual)(params["corrector"], frozen["prior"], x, t, z, None)
    # Float32 of a velocity is a thousandth of one at t = 1, where it is a noise divided by alpha.
    np.testing.assert_allclose(added, expected, atol=5e-3)


def test_at_the_start_only_the_gate_moves_and_what_it_opens_is_awake(world):
    _, plus, frozen = world
    params = jax.jit(plus.init)(jax.random.key(2))
    of = jax.jit(jax.grad(lambda params: plus.loss(params, frozen, jax.random.key(3), image_batch())[0]))
    asleep, opened = of(params), of(params | {"gate": jnp.ones(())})
    assert np.abs(asleep["gate"]) > 1e-3
    assert not any(np.any(g) for g in jax.tree.leaves(asleep["corrector"]))
    assert sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(opened["corrector"])) > 1e-2


def test_only_the_corrector_is_trained(world):
    _, plus, frozen = world
    params = awake(jax.jit(plus.init)(jax.random.key(2)))
    of = lambda params, frozen: plus.loss(params, frozen, jax.random.key(3), image_batch())[0]
    to_corrector, to_frozen = jax.jit(jax.grad(of, argnums=(0, 1)))(params, frozen)
    assert all(np.all(np.asarray(g) == 0) for g in jax.tree.leaves(to_frozen))
    assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(to_corrector))


def test_guidance_applies_when_decoding_and_not_in_training(world, corrector):
    base, _, frozen = world
    guided = base._replace(score=lambda params, frozen, z: lambda x, t: 2 * base.score(params, frozen, z)(x, t))
    plain, other = (corrected(SDE, base, g, corrector, TIMES, WEIGHT) for g in (base, guided))
    params = awake(jax.jit(plain.init)(jax.random.key(2)))
    losses = [jax.jit(m.loss)(params, frozen, jax.random.key(3), image_batch())[0] for m in (plain, other)]
    assert losses[0] == losses[1]
    x, t, z = image_batch().x, jnp.full(16, 0.5), jnp.ones((16, LATENT))
    a, b = (jax.jit(m.score(params, frozen, z))(x, t) for m in (plain, other))
    uncorrected = jax.jit(base.score(frozen["encoder"], frozen, z))(x, t)
    np.testing.assert_allclose(b - a, uncorrected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("body", PRIORS)
def test_dropout_is_on_in_training_and_only_then(body):
    frozen, (_, base) = frozen_parameters(body), image_methods(net=PRIORS[body])

    def plus(dropout):
        own = network_corrector(SDE, given_z(dropout, zero=False))
        head = network(CorrectionHead(8, 1, SHAPE[-1], dropout), (*SHAPE[:-1], 8), z=(LATENT,))
        corrector = {"network": own, "head": head_corrector(SDE, network(BODY, SHAPE), head)}[body]
        return corrected(SDE, base, base, corrector, TIMES, WEIGHT)

    never, often = plus(0.0), plus(0.5)
    params, batch, key = awake(jax.jit(never.init)(jax.random.key(2))), image_batch(), jax.random.key(3)
    loss = lambda method: float(jax.jit(method.loss)(params, frozen, key, batch)[0])
    assert abs(loss(never) - loss(often)) > 1e-4 * loss(never)
    x, t, z = batch.x, jnp.full(16, 0.5), jnp.ones((16, LATENT))
    a, b = (jax.jit(method.score(params, frozen, z))(x, t) for method in (never, often))
    np.testing.assert_array_equal(a, b)


def test_it_depends_on_z(world):
    _, plus, frozen = world
    params = awake(jax.jit(plus.init)(jax.random.key(2)))
    zero = jax.tree.map(jnp.zeros_like, params)
    score = jax.jit(lambda params, z: plus.score(params, frozen, z)(image_batch().x, jnp.full(16, 0.5)))
    correction = lambda z: score(params, z) - score(zero, z)
    moved = correction(jnp.ones((16, LATENT))) - correction(jnp.zeros((16, LATENT)))
    assert np.abs(moved).max() > 1e-3
