"""The variants of q(z | x_t, t): the encoder's input, and its statistics of z."""

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.scores import denoised_of_noise, noise_of_score
from sde_vae.diffusion.sdes import VE, VP
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
from sde_vae.diffusion.weights import likelihood_weighting
from sde_vae.methods.posteriors import denoised_input, filtered_input, lifted, noisy_input, point_posterior
from sde_vae.methods.prior import precondition, predicts_noise, prior
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.encoder import Encoder, HalfUNet
from sde_vae.nets.network import Network, network
from sde_vae.types import Batch
from tests.helpers.oracles import LinearGaussian
from tests.helpers.small import tanh_network

SDE = VP(t_min=1e-2)
ENCODER = tanh_network(2, 2, head=lambda y: DiagGaussian(y[:, :1], jnp.tanh(y[:, 1:])))


def methods(**changes):
    """(prior, ScoreVAE of the denoised image) in the plane."""
    times = times_uniform_in_log_snr(SDE, 8)
    p = prior(SDE, tanh_network(2, 2), predicts_noise, times, likelihood_weighting())
    posterior = denoised_input(SDE, ENCODER, p)
    return p, posterior, score_vae(SDE, p, posterior, times, likelihood_weighting(), kl_penalty(0.1), **changes)


def test_the_denoised_image_of_an_exact_prior_is_the_encoders_input(x64):
    """E[x_0 | x_t] of a Gaussian, from its covariances, given to the encoder as at t = 0 whatever t is."""
    world = LinearGaussian.random(jax.random.key(0), d=2)
    exact = prior(
        SDE, tanh_network(2, 2), predicts_noise, times_uniform_in_log_snr(SDE, 4), likelihood_weighting()
    )._replace(unconditional=lambda params, frozen: world.marginal_score(SDE))
    params = ENCODER.init(jax.random.key(1))
    x, t = jax.random.normal(jax.random.key(2), (4, 2)), jnp.array([0.05, 0.3, 0.6, 1.0])
    q = denoised_input(SDE, ENCODER, exact).noisy(params, {"prior": None}, x, t)
    a, s = SDE.alpha(t), SDE.sigma(t)
    for i in range(4):
        gain = a[i] * world.C @ jnp.linalg.inv(a[i] ** 2 * world.C + s[i] ** 2 * jnp.eye(2))
        x0_hat = world.m + gain @ (x[i] - a[i] * world.m)
        clean = precondition(SDE, ENCODER, params, x0_hat[None], jnp.zeros(1))
        np.testing.assert_allclose(q.mean[i], clean.mean[0], rtol=1e-10)
        np.testing.assert_allclose(q.log_var[i], clean.log_var[0], rtol=1e-10)


def test_of_the_filtered_image_the_gradient_vanishes_as_alpha():
    """So what z moves E[x_0 | x_t, z] by is bounded as noise grows, where by an encoder of x_t it is 1 / alpha."""
    encoder, shape = Encoder(HalfUNet(8, (1,), 1), 2), (4, 4, 1)
    x, z = jax.random.normal(jax.random.key(2), (8, *shape)), jnp.ones((8, 2))

    def moved(posterior):
        params = jax.jit(posterior.init)(jax.random.key(1))

        @jax.jit
        def at(t):
            gradient = jax.grad(lambda x: jnp.sum(posterior.noisy(params, {}, x, t).log_prob(z)))(x)
            return (jnp.sqrt(jnp.mean(gradient**2)) * SDE.sigma(t) ** 2 / SDE.alpha(t))[0]

        return at(jnp.full(8, 0.6)), at(jnp.full(8, 1.0))

    early, late = moved(filtered_input(SDE, network(encoder, (4, 4, 2))))
    assert 0.5 * early < late < 1.5 * early
    early, late = moved(noisy_input(SDE, network(encoder, shape)))
    assert late > 10 * early


def test_the_filtered_image_is_the_linear_estimate_for_unit_variance():
    """Of x_0 ~ N(0, I), E[x_0 | x_t]; at t = 0 the image itself, beside a channel of ones."""
    inputs = Network(None, lambda params, x, log_snr, keys: DiagGaussian(x, x))
    for sde in (VP(), VE(), RectifiedFlow()):
        t, x = jnp.array([0.3, 1.0]), jax.random.normal(jax.random.key(0), (2, 3))
        posterior = filtered_input(sde, inputs)
        noisy, clean = posterior.noisy(None, {}, x, t).mean, posterior.clean(None, x).mean
        a, s = (np.asarray(f(t))[:, None] for f in (sde.alpha, sde.sigma))
        np.testing.assert_allclose(noisy[:, :3], a / (a**2 + s**2) * x, rtol=1e-6)
        np.testing.assert_allclose(clean[:, :3], x, rtol=1e-3)
        np.testing.assert_array_equal(noisy[:, 3:], 1.0)


def test_its_gradient_flows_through_the_prior(x64):
    p, posterior, method = methods()
    frozen, params = {"prior": p.init(jax.random.key(0))}, method.init(jax.random.key(1))
    x, t, z = jax.random.normal(jax.random.key(2), (3, 2)), jnp.array([0.1, 0.5, 0.9]), jnp.ones((3, 1))
    found = method.score(params, frozen, z)(x, t) - p.unconditional(frozen["prior"], {})(x, t)
    log_q = lambda x: posterior.noisy(params, frozen, x, t).log_prob(z)
    h = 1e-6
    for d in range(2):
        step = h * jnp.eye(2)[d][None]
        np.testing.assert_allclose(found[:, d], (log_q(x + step) - log_q(x - step)) / (2 * h), rtol=1e-6, atol=1e-7)
    # And what is held fixed is not trained: the loss has no gradient in the prior.
    batch = Batch(x, jnp.arange(3))
    gradient = jax.grad(lambda frozen: method.loss(params, frozen, jax.random.key(3), batch)[0])(frozen)
    assert all(np.all(np.asarray(g) == 0) for g in jax.tree.leaves(gradient))


def test_lifted_to_a_statistic_any_decoder_of_z_is_within_reach(x64):
    """Where the encoder's mean of T is x alpha / sigma^2, E[x_0 | x_t, z] moves as T(z), for any T; of z alone, as a line."""
    curved = lambda z: jnp.sin(3 * z) + z**3
    statistic = Network(lambda key: {}, lambda params, z, log_snr: curved(z))

    def linear(params, x, log_snr, keys):
        t = SDE.t_of_log_snr(log_snr)
        a, s = SDE.alpha(t)[:, None], SDE.sigma(t)[:, None]
        # `precondition` scales x by 1, as alpha^2 + sigma^2 is; of z the gradient says nothing.
        mean = jnp.concatenate([jnp.zeros_like(x), a / s**2 * x], axis=1)
        return DiagGaussian(mean, jnp.zeros_like(mean))

    posterior = lifted(SDE, noisy_input(SDE, Network(lambda key: {}, linear)), 1, statistic)
    method = score_vae(
        SDE, zero_prior(), posterior, times_uniform_in_log_snr(SDE, 4), likelihood_weighting(), kl_penalty(0.1)
    )
    params, x, t = method.init(jax.random.key(0)), jnp.array([[0.3]]), jnp.array([0.7])

    def denoised(z):
        eps_hat = noise_of_score(SDE, method.score(params, {"prior": None}, jnp.array([[z]]))(x, t), t)
        return denoised_of_noise(SDE, eps_hat, x, t)[0, 0]

    for z in (-1.3, 0.4, 2.0):
        np.testing.assert_allclose(denoised(z) - denoised(0.0), curved(z), rtol=1e-9)


def test_what_a_gaussian_adds_is_a_quadratic_in_z_without_products_and_averages_to_nothing(x64):
    """As E_q[grad_x log q(z | x_t)] = 0 for a density. Lifted it is neither."""
    head = lambda y: DiagGaussian(*jnp.split(jnp.tanh(y), 2, axis=1))
    plain = noisy_input(SDE, tanh_network(2, 4, head=head))
    more = lifted(SDE, noisy_input(SDE, tanh_network(2, 10, head=head)), 2, tanh_network(2, 3))
    square = lambda a: np.stack(np.meshgrid(a, a, indexing="ij"), axis=-1).reshape(-1, 2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)

    def measured(posterior):
        """(what does not vanish of mixed and third differences in z, the mean over z of the first two dimensions' Gaussian)."""
        params = jax.tree.map(lambda a: 2 * a, posterior.init(jax.random.key(1)))
        method = score_vae(
            SDE, zero_prior(), posterior, times_uniform_in_log_snr(SDE, 4), likelihood_weighting(), kl_penalty(0.1)
        )

        @jax.jit
        def added(z):
            x, t = jnp.broadcast_to(jnp.array([0.3, -0.8]), z.shape), jnp.full(len(z), 0.6)
            q = posterior.noisy(params, {}, x, t)
            return method.score(params, {"prior": None}, z)(x, t) - zero_prior().unconditional(None, {})(x, t), q

        grid = np.asarray(added(jnp.asarray(square(np.arange(4.0))))[0]).reshape(4, 4, 2)
        products, cubes = grid[1, 1] - grid[0, 1] - grid[1, 0] + grid[0, 0], np.diff(grid[:, 0], n=3, axis=0)
        q = added(jnp.zeros((1, 2)))[1]
        z = q.mean[:, :2] + jnp.exp(0.5 * q.log_var[:, :2]) * square(nodes)
        mean = np.prod(square(weights / weights.sum()), axis=1) @ np.asarray(added(z)[0])
        return max(np.abs(products).max(), np.abs(cubes).max()), np.abs(mean).max()

    np.testing.assert_allclose(measured(plain), 0, atol=1e-9)
    assert min(measured(more)) > 1e-2


def test_without_noise_the_statistics_do_not_count():
    encoder = tanh_network(2, 10, head=lambda y: DiagGaussian(y[:, :5], y[:, 5:]))
    posterior = lifted(SDE, noisy_input(SDE, encoder), 2, tanh_network(2, 3))
    params, x = posterior.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (4, 2))
    clean = noisy_input(SDE, encoder).clean(params["encoder"], x)
    np.testing.assert_array_equal(posterior.clean(params, x).mean, clean.mean[:, :2])
    np.testing.assert_array_equal(posterior.clean(params, x).log_var, clean.log_var[:, :2])
    z, t = jnp.ones((4, 2)), jnp.linspace(0.1, 1, 4)
    found = posterior.lift(params, z, t)
    np.testing.assert_array_equal(found[:, :2], z)
    assert found.shape == posterior.noisy(params, {}, x, t).mean.shape
    # And they, too, are trained.
    method = score_vae(
        SDE, zero_prior(), posterior, times_uniform_in_log_snr(SDE, 4), likelihood_weighting(), kl_penalty(0.1)
    )
    loss = lambda params: method.loss(params, {"prior": None}, jax.random.key(2), Batch(x, jnp.arange(4)))[0]
    gradient = jax.jit(jax.grad(loss))(params)
    assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(gradient["statistics"]))


def zero_prior():
    """The prior of one image, 0: so its E[x_0 | x_t] is."""
    times = times_uniform_in_log_snr(SDE, 4)
    of_zero = lambda params, frozen: lambda x, t: -x / SDE.sigma(t)[:, None] ** 2
    return prior(SDE, tanh_network(1, 1), predicts_noise, times, likelihood_weighting())._replace(unconditional=of_zero)


def test_both_encode_a_clean_image_alike():
    _, posterior, _ = methods()
    params, x = ENCODER.init(jax.random.key(1)), jax.random.normal(jax.random.key(2), (3, 2))
    ours, noisy = posterior.clean(params, x), noisy_input(SDE, ENCODER).clean(params, x)
    np.testing.assert_array_equal(ours.mean, noisy.mean)
    np.testing.assert_array_equal(noisy.mean, noisy_input(SDE, ENCODER).noisy(params, {}, x, jnp.zeros(3)).mean)


def test_without_the_log_variance_term_the_gradient_lacks_exactly_that_terms():
    p, posterior, full = methods()
    _, _, quadratic = methods(log_density=DiagGaussian.quadratic)
    frozen, params = {"prior": p.init(jax.random.key(0))}, full.init(jax.random.key(1))
    x, t, z = jax.random.normal(jax.random.key(2), (3, 2)), jnp.array([0.1, 0.5, 0.9]), jnp.ones((3, 1))
    difference = full.score(params, frozen, z)(x, t) - quadratic.score(params, frozen, z)(x, t)
    of_log_var = jax.grad(lambda x: -0.5 * jnp.sum(posterior.noisy(params, frozen, x, t).log_var))(x)
    np.testing.assert_allclose(difference, of_log_var, rtol=1e-3, atol=1e-5)
    assert np.abs(of_log_var).max() > 1e-3


def test_a_sample_of_a_point_posterior_is_its_mean():
    params, x = ENCODER.init(jax.random.key(1)), jax.random.normal(jax.random.key(2), (100, 2))
    wide = noisy_input(SDE, ENCODER)
    q, q_point = wide.clean(params, x), point_posterior(wide).clean(params, x)
    np.testing.assert_array_equal(q.mean, q_point.mean)
    z = q_point.sample(jax.random.split(jax.random.key(3), 100))
    # 5 standard deviations of exp(-8).
    assert np.abs(z - q.mean).max() < 5 * np.exp(-8)
    assert np.all(np.isfinite(q_point.kl_to_standard()))
