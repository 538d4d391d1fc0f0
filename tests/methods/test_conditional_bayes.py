"""Bayes' rule for observations: exact on Gaussians where its assumption holds, and by a known amount off where it does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import expand
from sde_vae.data.operators.blur import GaussianBlur
from sde_vae.data.operators.inpainting import HiddenPixels
from sde_vae.data.operators.super_resolution import Downscaling
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.scores import bayes
from sde_vae.diffusion.sdes import VE, VP
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
from sde_vae.diffusion.weights import likelihood_weighting
from sde_vae.methods.conditional_bayes import (
    guided_prior,
    image_posterior,
    linear_likelihood,
    log_prob_of_seen,
    no_variance,
    trained_likelihood,
    variance_of_gaussian,
)
from sde_vae.methods.method import Method
from sde_vae.methods.observation import observed
from sde_vae.methods.posteriors import Posterior
from sde_vae.nets.network import Network
from sde_vae.types import Batch, Condition
from tests.helpers.joint_gaussian import JointGaussian
from tests.helpers.oracles import LinearGaussian

pytestmark = pytest.mark.usefixtures("x64")

SHAPE, STD, VARIANCE = (4, 4, 1), 0.3, 0.7
OPERATORS = {"inpainting": HiddenPixels(0.4), "super_resolution": Downscaling(2), "deblurring": GaussianBlur(1.0)}
SDES = pytest.mark.parametrize("sde", [VP(), VE(0.05, 20.0)], ids=["vp", "ve"])


def gaussian_prior(sde):
    """The prior of independent pixels N(0, VARIANCE)."""
    variance = lambda t: VARIANCE * sde.alpha(t) ** 2 + sde.sigma(t) ** 2
    score = lambda x, t: -x / variance(t)[:, None, None, None]
    return Method(lambda key: {}, lambda *_: (jnp.zeros(()), {}), unconditional=lambda params, frozen: score)


def matrix_of(operator, mask):
    """The operator as a matrix on flattened images, one mask [H, W, 1] or None."""
    basis = jnp.eye(16).reshape(16, *SHAPE)
    masks = None if mask is None else jnp.tile(mask[None], (16, 1, 1, 1))
    return operator.forward(basis, masks).reshape(16, -1).T


def exact_score(sde, A, y, x, t):
    """grad_x log p(x_t | y) of one image, in matrices: x_0 | y is Gaussian, and x_t has its moments."""
    S = VARIANCE * A @ A.T + STD**2 * jnp.eye(len(A))
    gain = VARIANCE * A.T @ jnp.linalg.inv(S)
    mean, cov = gain @ y, VARIANCE * (jnp.eye(16) - gain @ A)
    a, s = sde.alpha(t[None])[0], sde.sigma(t[None])[0]
    return -jnp.linalg.solve(a**2 * cov + s**2 * jnp.eye(16), x - a * mean)


def case(name, sde, n=3):
    operator, key = OPERATORS[name], jax.random.key(0)
    x_0 = jnp.sqrt(VARIANCE) * jax.random.normal(key, (n, *SHAPE))
    _, condition = observed(operator, STD)(x_0, jax.random.split(jax.random.key(1), n))
    t = jnp.linspace(0.1, 0.9, n)
    x = sde.alpha(t)[:, None, None, None] * x_0 + sde.sigma(t)[:, None, None, None] * jax.random.normal(key, x_0.shape)
    A = [matrix_of(operator, None if condition.mask is None else condition.mask[i]) for i in range(n)]
    flat = lambda i: (A[i], condition.y[i].ravel(), x[i].ravel(), t[i])
    return operator, condition, x, t, jnp.stack([exact_score(sde, *flat(i)).reshape(SHAPE) for i in range(n)])


@SDES
@pytest.mark.parametrize("name", OPERATORS)
def test_pigdm_is_exact_for_the_gaussian_that_it_assumes(name, sde):
    """Independent pixels of one variance: then x_0 | x_t is Gaussian with PiGDM's covariance, and Bayes' rule is exact."""
    operator, condition, x, t, exact = case(name, sde)
    method = guided_prior(sde, gaussian_prior(sde), operator, variance_of_gaussian(sde, VARIANCE), STD)
    np.testing.assert_allclose(method.score({}, {}, condition)(x, t), exact, rtol=1e-9, atol=1e-9)


@SDES
def test_dps_is_not_and_its_error_vanishes_as_the_noise_of_x_does(sde):
    """It leaves out the variance of x_0 given x_t, so that at high noise its likelihood is too narrow: there the gradient is off by more than half."""
    operator, condition, x, _, _ = case("super_resolution", sde)
    method = guided_prior(sde, gaussian_prior(sde), operator, no_variance, STD)
    A, errors = matrix_of(operator, None), []
    for time in (0.5, 0.2, 0.05, 0.002):
        t = jnp.full(len(x), time)
        exact = jnp.stack(
            [exact_score(sde, A, condition.y[i].ravel(), x[i].ravel(), t[i]).reshape(SHAPE) for i in range(len(x))]
        )
        prior = gaussian_prior(sde).unconditional({}, {})(x, t)
        off = method.score({}, {}, condition)(x, t) - exact
        errors.append(float(jnp.linalg.norm(off) / jnp.linalg.norm(exact - prior)))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.5
    assert errors[-1] < 0.1


def test_the_trained_likelihood_has_its_least_loss_at_the_exact_one():
    """On the pair of Gaussians: with the exact log p(y | x_t) its score is the conditional one; a wrong width costs."""
    sde, world = VP(), JointGaussian(LinearGaussian.random(jax.random.key(5)))
    data = world.data

    def posterior(scale):
        def noisy(params, frozen, x, t, keys=None):
            mean, cov = jax.vmap(lambda x, t: data.posterior(sde, x, t))(x, t)
            # Its two dimensions are not independent: rotated to where they are, at each x_t.
            return DiagGaussian(mean + params, jnp.log(scale * jnp.diagonal(cov, axis1=1, axis2=2)))

        return Posterior(lambda key: jnp.zeros((1, 2)), None, noisy)

    of_prior = Method(lambda key: {}, lambda *_: None, unconditional=lambda params, frozen: data.marginal_score(sde))
    times = times_uniform_in_log_snr(sde, 256)

    def loss(scale, shift=0.0):
        method = trained_likelihood(sde, of_prior, posterior(scale), world.observe(), times, likelihood_weighting())
        batch = Batch(data.sample(jax.random.key(2), 256)[0], jnp.arange(256))
        return float(method.loss(jnp.full((1, 2), shift), {"prior": {}}, jax.random.key(3), batch)[0])

    assert loss(1.0) < min(loss(0.5), loss(3.0), loss(1.0, 0.5))


def test_hidden_pixels_have_no_density():
    q = DiagGaussian(jnp.array([[0.5, 9.0]]), jnp.array([[0.1, -3.0]]))
    mask = jnp.array([[1.0, 0.0]])
    seen = DiagGaussian(q.mean[:, :1], q.log_var[:, :1]).log_prob(jnp.array([[0.2]]))
    np.testing.assert_allclose(log_prob_of_seen(q, Condition(jnp.array([[0.2, 0.0]]), mask, None)), seen, rtol=1e-12)
    everything = Condition(jnp.array([[0.2, 0.3]]), None, None)
    np.testing.assert_allclose(log_prob_of_seen(q, everything), q.log_prob(everything.y), rtol=1e-12)


def test_the_gradient_of_the_likelihood_is_the_finite_difference():
    sde = VP()
    operator, condition, x, t, _ = case("inpainting", sde)
    prior = gaussian_prior(sde).unconditional({}, {})
    of = linear_likelihood(sde, prior, operator, condition, variance_of_gaussian(sde), STD)
    direction = jax.random.normal(jax.random.key(9), x.shape)
    slope = (of(x + 1e-6 * direction, t) - of(x - 1e-6 * direction, t)) / 2e-6
    gradient = bayes(lambda x, t: jnp.zeros_like(x), of)(x, t)
    np.testing.assert_allclose(jnp.sum(gradient * direction, axis=(1, 2, 3)), slope, rtol=1e-6)


def test_of_a_clean_image_the_posterior_is_that_at_time_zero():
    """At y's own size. The network here says the mean of x_t as the mean and its logSNR as the log-variance, which is bounded."""
    sde, operator = VP(), Downscaling(2)
    said = lambda params, x, log_snr, keys: jnp.concatenate([x, jnp.ones_like(x) * expand(log_snr, x)], axis=-1)
    posterior = image_posterior(sde, operator, Network(lambda key: {}, said))
    x = jax.random.normal(jax.random.key(0), (3, *SHAPE))
    clean, noisy = posterior.clean({}, x), posterior.noisy({}, {}, x, jnp.zeros(3))
    assert clean.mean.shape == clean.log_var.shape == (3, 2, 2, 1)
    np.testing.assert_array_equal(clean.mean, noisy.mean)
    np.testing.assert_array_equal(clean.log_var, noisy.log_var)
