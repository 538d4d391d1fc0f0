"""Labels: the guided score in closed form, the two scores of one network, and ScoreVAE on a prior given the class."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.diffusion import scores
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.losses import denoising
from sde_vae.diffusion.sdes import VE, VP, diffuse
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
from sde_vae.diffusion.weights import likelihood_weighting
from sde_vae.methods.class_conditional import class_conditional, given_class
from sde_vae.methods.method import Method
from sde_vae.methods.posteriors import Posterior
from sde_vae.methods.prior import predicts_velocity
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.network import network
from tests.helpers.oracles import Mixture
from tests.helpers.small import SDE, SHAPE, TwoLayers, awake, image_batch

CLASSES = 3
TIMES, WEIGHT = times_uniform_in_log_snr(SDE, 16), likelihood_weighting()


def world():
    means = jnp.array([[1.2, 0.3], [-0.9, 1.0], [0.1, -1.2]])
    return Mixture(jnp.array([0.2, 0.5, 0.3]), means, 0.05, jnp.array([[1.0, 0.5]]), 0.4)


def points(sde, n=64):
    """(x_t, z, t, a class of each), the class at random: x_t may be far from it."""
    keys = jax.random.split(jax.random.key(2), 4)
    x_0, z = world().sample(keys[0], n)
    t = jax.random.uniform(keys[1], (n,), minval=0.02, maxval=sde.T)
    x = diffuse(sde, x_0, t, jax.random.normal(keys[2], x_0.shape))
    return x, z, t, jax.random.randint(keys[3], (n,), 0, CLASSES)


@pytest.mark.parametrize("sde", [VP(), VE()], ids=str)
@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.0, 7.5])
def test_the_guided_score_of_a_mixture_is_that_of_its_tilted_density(x64, sde, guidance):
    """Classes are components: s + w (s_k - s) is the score of p_t(x) p(k | x_t)^w, whose two factors are closed-form."""
    w, (x, _, t, k) = world(), points(sde)
    guided = scores.classifier_free(w.class_score(sde, k), w.marginal_score(sde), guidance)(x, t)
    tilted = scores.bayes(w.marginal_score(sde), w.log_class(sde, k), guidance)(x, t)
    np.testing.assert_allclose(guided, tilted, rtol=1e-9, atol=1e-9)
    ends = {0.0: w.marginal_score(sde), 1.0: w.class_score(sde, k)}
    if guidance in ends:
        np.testing.assert_allclose(guided, ends[guidance](x, t), rtol=1e-12, atol=1e-12)


def test_each_example_may_have_its_own_guidance(x64):
    w, (x, _, t, k) = world(), points(SDE)
    of = lambda guidance: scores.classifier_free(w.class_score(SDE, k), w.marginal_score(SDE), guidance)(x, t)
    several = of(jnp.arange(64.0) % 3)
    for guidance in (0.0, 1.0, 2.0):
        np.testing.assert_array_equal(several[int(guidance) :: 3], of(guidance)[int(guidance) :: 3])


def test_score_vae_is_exact_given_the_class(x64):
    """p(z | x_t, class) is Gaussian in this world, as p(z | x_t) is not. With that encoder, ScoreVAE's own code on the prior given the
    class has the exact score of x given z and the class, and on the prior without it another one."""
    w, (x, z, t, k) = world(), points(SDE)

    def encode(params, frozen, x, t, keys):
        mean, cov = jax.vmap(lambda x, t, k: w.of_class(k).posterior(SDE, x, t))(x, t, k)
        return DiagGaussian(mean, jnp.log(cov[:, 0]))

    posterior = Posterior(
        init=lambda key: {},
        clean=lambda params, x, keys=None: encode(params, {}, x, jnp.full(len(x), 1e-6), keys),
        noisy=encode,
        lift=lambda params, z, t: z,
    )
    prior = Method(
        init=lambda key: {},
        loss=lambda *_: None,
        unconditional=lambda params, frozen: w.marginal_score(SDE),
        labelled=lambda params, frozen, label: w.class_score(SDE, label),
    )
    of = lambda prior: score_vae(SDE, prior, posterior, TIMES, WEIGHT, kl_penalty(0.0)).score({}, {"prior": {}}, z)(
        x, t
    )

    def exact(x, t, z, k):
        world = w.of_class(k)
        return world.conditional_score(SDE, z[None])(x[None], t[None])[0]

    expected = jax.vmap(exact)(x, t, z, k)
    np.testing.assert_allclose(of(given_class(prior, k)), expected, rtol=1e-8, atol=1e-8)
    assert np.abs(np.asarray(of(prior) - expected)).max() > 0.1


def method(dropout=0.2, network_dropout=0.0):
    net = network(TwoLayers(network_dropout), SHAPE, z=(CLASSES,))
    return class_conditional(SDE, net, predicts_velocity, TIMES, WEIGHT, CLASSES, dropout)


def labelled_batch(n=16):
    return image_batch(n)._replace(label=jnp.arange(n, dtype=jnp.int32) % CLASSES)


@pytest.fixture(scope="module")
def params():
    return awake(jax.jit(method().init)(jax.random.key(0)), 0.2)


@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_without_any_label_the_loss_is_the_unconditional_one(params, dropout):
    m, batch = method(dropout), labelled_batch()
    key, *_ = jax.random.split(jax.random.key(1), 3)
    score = m.unconditional(params, {}) if dropout else m.labelled(params, {}, batch.label)
    expected = jnp.mean(denoising(SDE, jax.jit(score), TIMES, WEIGHT, key, batch))
    total, metrics = jax.jit(m.loss)(params, {}, jax.random.key(1), batch)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert set(metrics) == {"loss"}


def test_only_the_score_given_a_class_depends_on_it(params):
    m, batch, t = method(), labelled_batch(), jnp.full(16, 0.4)
    of = lambda label: jax.jit(m.labelled(params, {}, label))(batch.x, t)
    without = jax.jit(m.unconditional(params, {}))(batch.x, t)
    first, second = of(jnp.zeros(16, jnp.int32)), of(jnp.ones(16, jnp.int32))
    assert all(np.abs(np.asarray(a - b)).max() > 1e-2 for a, b in ((first, second), (first, without)))
    np.testing.assert_allclose(of(jnp.where(jnp.arange(16) < 8, 0, 1))[:8], first[:8], rtol=1e-5, atol=1e-6)


def test_which_labels_are_left_out_depends_on_the_global_index_only(params):
    """Two halves of a batch have the loss of the whole one, and about as many labels are left out as asked."""
    m, batch = method(0.3, network_dropout=0.2), labelled_batch(400)
    per_example = jax.jit(
        jax.vmap(
            lambda x, i, label: m.loss(
                params, {}, jax.random.key(1), batch._replace(x=x[None], index=i[None], label=label[None])
            )[0]
        )
    )
    of = lambda rows, shift=0: np.asarray(
        per_example(batch.x[rows], batch.index[rows], (batch.label[rows] + shift) % CLASSES)
    )
    whole = of(slice(None))
    np.testing.assert_allclose(of(slice(16, 32)), whole[16:32], rtol=1e-4)
    total = jax.jit(m.loss)(params, {}, jax.random.key(1), batch)[0]
    np.testing.assert_allclose(whole.mean(), total, rtol=1e-4)
    left_out = int(np.sum(whole == of(slice(None), 1)))
    assert abs(left_out - 400 * 0.3) < 4 * np.sqrt(400 * 0.3 * 0.7)
