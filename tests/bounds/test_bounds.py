"""The bound: terms against closed forms, and the whole against the exact likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import keys_of, normal
from sde_vae.bounds import terms
from sde_vae.bounds.terms import evidence_bound
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP, diffuse, log_snr_range
from sde_vae.types import Batch
from tests.helpers.oracles import LinearGaussian
from tests.helpers.rarely import rarely

# One whose x_T still knows of x_0, so that the prior's term is seen.
SDES = [VP(), VE(), RectifiedFlow(log_snr_min=-4.0), *rarely(CosineVP(log_snr_min=-2.0), SubVP())]
N = 100_000
pytestmark = pytest.mark.usefixtures("x64")


def world_and_draws(seed=0):
    """(a linear-Gaussian world with p(z) = N(0, I), as the bound has it, N draws of x_0): A m = 0, A C A' + s^2 I = I, s = 0.3."""
    rng = np.random.default_rng(seed)
    L = rng.normal(size=(3, 3)) / np.sqrt(3)
    m, C, s = 0.5 * rng.normal(size=3), L @ L.T + 0.1 * np.eye(3), 0.3
    values, U = np.linalg.eigh(C)
    whiten = U @ np.diag(values**-0.5) @ U.T
    across = np.linalg.qr((whiten @ m)[:, None], mode="complete")[0][:, 1:]
    A = np.sqrt(1 - s**2) * across.T @ whiten
    world = LinearGaussian(jnp.asarray(m), jnp.asarray(C), jnp.asarray(A), s)
    return world, jnp.asarray(m + rng.normal(size=(N, 3)) @ np.linalg.cholesky(C).T)


def at(sde, t):
    return float(sde.alpha(jnp.full(1, t))[0]), float(sde.sigma(jnp.full(1, t))[0])


def kl(mean, cov, other_mean, other_cov):
    """KL(N(mean, cov) || N(other_mean, other_cov)) by the textbook."""
    inverse, d = np.linalg.inv(other_cov), np.asarray(other_mean) - np.asarray(mean)
    log_det = np.linalg.slogdet(other_cov)[1] - np.linalg.slogdet(cov)[1]
    return 0.5 * (np.trace(inverse @ cov) - len(d) + d @ inverse @ d + log_det)


def neg_entropy(sde, mean, cov):
    """E log p(x_eps) for x_0 ~ N(mean, cov)."""
    a, s = at(sde, sde.t_min)
    return -0.5 * np.linalg.slogdet(2 * np.pi * np.e * (a**2 * np.asarray(cov) + s**2 * np.eye(len(mean))))[1]


def noise_entropy(sde, d):
    """-E log q(x_eps | x_0): in the place of the reconstruction it makes the bound one on the density of x_eps."""
    return d * (0.5 * np.log(2 * np.pi * np.e) + np.log(at(sde, sde.t_min)[1]))


def terminal_gap(sde, mean, cov):
    """KL(p(x_T) || pi) for x_0 ~ N(mean, cov)."""
    a, s = at(sde, sde.T)
    return kl(
        a * np.asarray(mean), a**2 * np.asarray(cov) + s**2 * np.eye(len(mean)), 0 * mean, s**2 * np.eye(len(mean))
    )


def score_gap(sde, truth, wrong):
    """1/2 int sigma^2 E||s_wrong - s||^2 dl for x_0 ~ truth and the exact score of N(wrong.m, wrong.C)."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    low, high = log_snr_range(sde)
    t = sde.t_of_log_snr(jnp.asarray(low + (high - low) * 0.5 * (nodes + 1)))
    total = 0.0
    for a, s, weight in zip(np.asarray(sde.alpha(t)), np.asarray(sde.sigma(t)), weights, strict=True):
        S, S_wrong = (a**2 * np.asarray(world.C) + s**2 * np.eye(len(world.m)) for world in (truth, wrong))
        # s_wrong - s = (S^-1 - S_wrong^-1) u + a S_wrong^-1 (m_wrong - m), u ~ N(0, S).
        linear = np.linalg.inv(S) - np.linalg.inv(S_wrong)
        shift = a * np.linalg.solve(S_wrong, np.asarray(wrong.m - truth.m))
        total += weight * s**2 * (np.trace(linear @ S @ linear.T) + shift @ shift)
    return 0.5 * 0.5 * (high - low) * total


def scaled(world, factor, shift):
    return world._replace(m=world.m + shift, C=factor * world.C)


def means(values):
    """(means, standard errors) of [cases, N]."""
    values = np.asarray(values)
    return values.mean(-1), values.std(-1) / np.sqrt(values.shape[-1])


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_gap_of_a_wrong_score_is_the_closed_form(sde):
    """The prior alone: bound - exact = KL(p(x_T) || pi) + the distance of the scores; the exact score's is 0."""
    world, x_0 = world_and_draws()
    models, batch = [scaled(world, *how) for how in ((1.0, 0.0), (1.5, 0.0), (0.7, 0.3))], Batch(x_0, jnp.arange(N))
    of = lambda model: evidence_bound(sde, None, model.marginal_score(sde), 2, N, jax.random.key(1), batch)
    bounds = [of(model) for model in models]
    assert not any(np.any(bound.kl) for bound in bounds)
    density = np.stack([bound.prior + bound.diffusion for bound in bounds]) + noise_entropy(sde, 3)
    exact, gaps = -neg_entropy(sde, world.m, world.C), np.array([score_gap(sde, world, model) for model in models])

    mean, error = means(density)
    assert gaps[0] == 0
    assert np.all(np.abs(mean - exact - terminal_gap(sde, world.m, world.C) - gaps) < 4 * error)
    assert np.all(mean > exact - 4 * error)
    # What the wrong scores cost is seen far better on the same draws.
    mean, error = means(density[1:] - density[:1])
    assert np.all(4 * error < 0.3 * gaps[1:])
    assert np.all(np.abs(mean - gaps[1:]) < 4 * error)


def of_encoder(sde, world, x_0, scale, variance):
    """The bound with q(z|x_0) = N(scale A x_0, variance I) and the exact score of p(x|z), z ~ q."""
    index, gain = jnp.arange(N), world.C @ world.A.T
    q = DiagGaussian(scale * x_0 @ world.A.T, jnp.full((N, 2), np.log(variance)))
    mean = world.m[None] + q.sample(keys_of(jax.random.key(2), index)) @ gain.T
    centred = world._replace(m=jnp.zeros(3), C=world.C - gain @ gain.T).marginal_score(sde)
    score = lambda x, t: centred(x - sde.alpha(t)[:, None] * mean, t)
    return evidence_bound(sde, q, score, 2, N, jax.random.key(1), Batch(x_0, index))


def encoder_gap(sde, world, scale, variance):
    """E KL(q(z|x_0) || p(z|x_eps)) + E[log p(x_T|z) - log pi(x_T)] under x_0 ~ world and z ~ q, by Gaussian moments."""
    m, A, C, d, k = np.asarray(world.m), np.asarray(world.A), np.asarray(world.C), 3, 2
    # p(z|x_eps) = N(G (x_eps - a m), P); q's mean less that one is (scale A - a G) (x_0 - m) - s G eps, as A m = 0.
    a, s = at(sde, sde.t_min)
    G = a * A @ C @ np.linalg.inv(a**2 * C + s**2 * np.eye(d))
    P, L = np.eye(k) - a * G @ C @ A.T, scale * A - a * G
    moved = L @ C @ L.T + s**2 * G @ G.T
    latent = kl(np.zeros(k), variance * np.eye(k), np.zeros(k), P) + 0.5 * np.trace(np.linalg.solve(P, moved))
    # x_T|z ~ N(a (m + gain z), S); x_T less that mean is R (x_0 - m) + s eps - a gain (z - E z).
    a, s = at(sde, sde.T)
    gain = C @ A.T
    cov = C - gain @ gain.T
    S, R = a**2 * cov + s**2 * np.eye(d), a * (np.eye(d) - scale * gain @ A)
    residual = R @ C @ R.T + s**2 * np.eye(d) + a**2 * variance * gain @ gain.T
    square = np.trace(a**2 * (C + np.outer(m, m)) / s**2 + np.eye(d))
    return latent + 0.5 * (square - np.trace(np.linalg.solve(S, residual)) - np.linalg.slogdet(S / s**2)[1])


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_the_gap_of_a_wrong_encoder_is_the_closed_form(sde):
    """With the exact p(x|z), bound - exact = E KL(q(z|x_0) || p(z|x_eps)) + what pi costs; at the exact q, what x_eps lost of z."""
    world, x_0 = world_and_draws()
    encoders = [(scale, world.s**2 * times) for scale, times in ((1, 1), (0.8, 1), (1, 2), (1.1, 0.4))]
    bounds = [of_encoder(sde, world, x_0, *encoder) for encoder in encoders]
    density = np.stack([bound.kl + bound.prior + bound.diffusion for bound in bounds]) + noise_entropy(sde, 3)
    exact = -neg_entropy(sde, world.m, world.C)
    gaps = np.array([encoder_gap(sde, world, *encoder) for encoder in encoders])

    mean, error = means(density)
    assert np.all(np.abs(mean - exact - gaps) < 4 * error), (mean - exact, gaps, error)
    assert np.all(mean > exact - 4 * error)
    mean, error = means(density[1:] - density[:1])
    assert np.all(4 * error < 0.3 * (gaps[1:] - gaps[0]))
    assert np.all(np.abs(mean - (gaps[1:] - gaps[0])) < 4 * error)


@pytest.mark.parametrize(
    "sde",
    [VP(), CosineVP(log_snr_min=-2.0, t_min=0.1), SubVP(t_min=0.3), VE(), VP(t_min=0.05), RectifiedFlow(t_min=0.2)],
    ids=str,
)
def test_the_bound_of_discrete_data_has_its_closed_form_gap(sde):
    """One pixel of 3 levels with known probabilities: bound - H(x_0) = E log p(x_0|x_eps) / decoder + E log p(x_T) / pi, by quadrature."""
    value, p = np.array([-1.0, 0.0, 1.0]), np.array([0.5, 0.2, 0.3])
    x_0 = jnp.asarray(np.random.default_rng(0).choice(value, p=p, size=(N, 1)))

    def score(x, t):
        """(a E[x_0|x] - x) / s^2"""
        a, s = sde.alpha(t)[:, None], sde.sigma(t)[:, None]
        r = jax.nn.softmax(np.log(p)[None] - 0.5 * jnp.square((x - a * value[None]) / s), axis=1)
        return (a * (r @ value)[:, None] - x) / s**2

    bound = evidence_bound(sde, None, score, 3, N, jax.random.key(1), Batch(x_0, jnp.arange(N)))
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)

    def mean_of(f, t):
        """E f(v, x_t | every level) over x_0 = v and the noise; the last argument is N(x_t; a v, s^2), its constant left out."""
        a, s = at(sde, t)
        x = (a * value[:, None] + s * nodes[None])[..., None]
        likelihoods = np.exp(-0.5 * ((x - a * value) / s) ** 2)
        return (p[:, None] * weights / weights.sum() * f(x[..., 0], likelihoods, s)).sum()

    # log p(v|x) - log decoder(v|x) = log p_v - log sum_u p_u N_u + log sum_u N_u
    decoder = mean_of(lambda x, N_u, s: np.log(p)[:, None] - np.log(N_u @ p) + np.log(N_u.sum(-1)), sde.t_min)
    start = mean_of(lambda x, N_u, s: np.log(N_u @ p) + 0.5 * (x / s) ** 2, sde.T)
    entropy = -(p * np.log(p)).sum()
    mean, error = means(bound.total)
    assert abs(mean - entropy - decoder - start) < 4 * error, (mean, entropy, decoder, start, error)
    assert mean > entropy - 4 * error
    assert error < 0.02


def test_the_whole_is_the_sum_of_its_terms_on_keys_of_their_own():
    sde, index = VP(t_min=0.05), jnp.arange(4)
    x = jnp.asarray(np.random.default_rng(0).choice([-1.0, 0.0, 1.0], (4, 3, 3, 1)))
    q, score, key = DiagGaussian(jnp.ones((4, 2)), jnp.zeros((4, 2))), lambda x, t: -x, jax.random.key(5)
    bound = evidence_bound(sde, q, score, 3, 4, key, Batch(x, index))
    key_diffusion, key_reconstruction = jax.random.split(key)
    np.testing.assert_allclose(bound.kl, 1.0)  # KL(N(1, 1) || N(0, 1)) = 1/2, twice
    np.testing.assert_array_equal(bound.prior, terms.prior_kl(sde, x))
    np.testing.assert_array_equal(bound.diffusion, terms.diffusion(sde, score, key_diffusion, Batch(x, index), 4))
    np.testing.assert_array_equal(
        bound.reconstruction, terms.reconstruction(sde, 3, key_reconstruction, Batch(x, index))
    )
    np.testing.assert_allclose(bound.total, sum(bound), rtol=1e-12)


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_prior_kl_is_the_gaussian_one(sde):
    x = jax.random.normal(jax.random.key(0), (4, 2, 2, 1))
    a, s = at(sde, sde.T)
    expected = 0.5 * np.sum((a * np.asarray(x) / s) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(terms.prior_kl(sde, x), expected, rtol=1e-8)


def test_reconstruction_is_a_normalised_discrete_decoder():
    """Against a softmax written out, on the same draw of x_eps; small when the levels stand far apart, log(levels) when not."""
    levels, index, key = 17, jnp.arange(8), jax.random.key(0)
    value = np.linspace(-1, 1, levels)
    x = jnp.asarray(value[np.random.default_rng(0).integers(0, levels, (8, 3, 3, 1))])
    near = terms.reconstruction(VP(t_min=1e-3), levels, key, Batch(x, index))
    assert 0 <= near.max() < 1e-3
    far = terms.reconstruction(VP(t_min=1.0), levels, key, Batch(x, index))
    np.testing.assert_allclose(far.mean(), 9 * np.log(levels), rtol=0.02)

    sde = VP(t_min=0.05)
    x_eps = terms.noised(sde, key, Batch(x, index))
    np.testing.assert_array_equal(x_eps, diffuse(sde, x, jnp.full(8, 0.05), normal(keys_of(key, index), x)))
    a, s = at(sde, 0.05)
    logits = -0.5 * (np.asarray(x_eps)[..., None] - a * value) ** 2 / s**2
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = np.abs(np.asarray(x)[..., None] - value).argmin(-1)
    expected = -np.take_along_axis(log_p, chosen[..., None], -1).sum((1, 2, 3, 4))
    np.testing.assert_allclose(terms.reconstruction(sde, levels, key, Batch(x, index)), expected, rtol=1e-6)
    np.testing.assert_allclose(terms.reconstruction_at(sde, levels, x, x_eps), expected, rtol=1e-6)


def test_bits_per_dim():
    np.testing.assert_allclose(terms.bits_per_dim(jnp.array([64 * np.log(2)]), jnp.zeros((1, 8, 8, 1))), 1.0)
