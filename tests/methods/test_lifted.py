"""A lifted encoder: its score is its formula, its gradient finite differences', and trained where the exact one is within its reach it finds it."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.sdes import VP, diffuse
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
from sde_vae.diffusion.weights import sigmoid
from sde_vae.methods.method import Method
from sde_vae.methods.posteriors import lifted, noisy_input
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.encoder import Encoder
from sde_vae.nets.mlp import MLP
from sde_vae.nets.network import network
from sde_vae.training.train_state import adam, cosine, init_state, make_update
from sde_vae.types import Batch
from tests.helpers.small import tanh_network

SDE = VP(t_min=1e-2)
LATENT, STATISTICS = 2, 3
HEAD = lambda y: DiagGaussian(*jnp.split(jnp.tanh(y), 2, axis=1))
ENCODER = tanh_network(2, 2 * (LATENT + STATISTICS), head=HEAD)
STATISTIC = tanh_network(LATENT, STATISTICS)


def normal_prior():
    """Of N(0, I), whose x_t is N(0, I) at every t of a VP."""
    return Method(None, None, unconditional=lambda params, frozen: lambda x, t: -x)


def plane(n=16):
    posterior = lifted(SDE, noisy_input(SDE, ENCODER), LATENT, STATISTIC)
    method = score_vae(SDE, normal_prior(), posterior, times_uniform_in_log_snr(SDE, n), sigmoid(), kl_penalty(0.3))
    params = jax.tree.map(lambda a: 2 * a, method.init(jax.random.key(1)))
    return method, params, {"prior": None}


def test_its_score_is_its_formula(x64):
    """-x + grad_x log N((z, T(z, t)); mean(x, t), var(x, t)), both networks being told the noise level of t: written out in numpy."""
    method, params, frozen = plane()
    x, z = (jax.random.normal(jax.random.key(i), (4, 2)) for i in (2, 3))
    t = jnp.array([0.02, 0.3, 0.6, 1.0])
    l = np.asarray(SDE.log_snr(t))

    def layer(p, a, l):
        return np.tanh(a @ p["in"] + 0.1 * l * p["level"]) @ p["out"]

    def log_q(x, z, l):
        mean, log_var = np.split(np.tanh(layer(host["encoder"], x, l)), 2)
        point = np.concatenate([z, layer(host["statistics"], z, l)])
        return np.sum(-0.5 * (point - mean) ** 2 / np.exp(log_var) - 0.5 * log_var)

    host, h = jax.device_get(params), 1e-5
    found = np.asarray(method.score(params, frozen, z)(x, t))
    for i in range(4):
        a, b = np.asarray(x[i], np.float64), np.asarray(z[i], np.float64)
        # VP's alpha^2 + sigma^2 is 1: the encoder's input is x.
        gradient = [(log_q(a + e, b, l[i]) - log_q(a - e, b, l[i])) / (2 * h) for e in h * np.eye(2)]
        np.testing.assert_allclose(found[i], -a + gradient, rtol=1e-6, atol=1e-7)


def test_its_gradient_is_that_of_finite_differences(x64):
    """Of the encoder, which is also trained through z into T(z), and of the statistics."""
    method, params, frozen = plane()
    batch = Batch(jax.random.normal(jax.random.key(2), (16, 2)), jnp.arange(16))
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    loss = jax.jit(lambda v: method.loss(unravel(v), frozen, jax.random.key(3), batch)[0])
    gradient, h = jax.grad(loss)(flat), 1e-5
    numeric = [(loss(flat.at[i].add(h)) - loss(flat.at[i].add(-h))) / (2 * h) for i in range(len(flat))]
    np.testing.assert_allclose(gradient, np.asarray(numeric), rtol=1e-6, atol=1e-7)


# x_0 ~ N(0, C) in the plane, of unit variances, and z = (y + y^3) / sqrt(22) for y = x_0[0], which has unit variance. Of y, and not of
# z, p(. | x_t) is Gaussian: with T(z) = y the lifted density is exact. A density of z alone adds to E[x_0 | x_t, z] something linear in z where
# x_t is noise. It then finds 16 / 22 of the variance of y, the square of its correlation with z.
CORRELATION = 0.6
SHARE = 16 / 22
N = 256


def draw(key, n=N):
    a, b = jax.random.normal(key, (2, n))
    return jnp.stack([a, CORRELATION * a + np.sqrt(1 - CORRELATION**2) * b], axis=1)


def code(x):
    y = x[:, :1]
    return (y + y**3) / np.sqrt(22)


def prior_score(x, t):
    a, s = SDE.alpha(t)[:, None], SDE.sigma(t)[:, None]
    total, difference = x[:, :1] + x[:, 1:], x[:, :1] - x[:, 1:]
    u = total / (a**2 * (1 + CORRELATION) + s**2)
    v = difference / (a**2 * (1 - CORRELATION) + s**2)
    return -0.5 * jnp.concatenate([u + v, u - v], axis=1)


def exact_score(y):
    """Of x_t given y: x_0 is N((y, c y), diag(0, 1 - c^2))."""

    def score(x, t):
        a, s = SDE.alpha(t)[:, None], SDE.sigma(t)[:, None]
        first = (x[:, :1] - a * y) / s**2
        second = (x[:, 1:] - a * CORRELATION * y) / (a**2 * (1 - CORRELATION**2) + s**2)
        return -jnp.concatenate([first, second], axis=1)

    return score


def trained(statistics, steps=250):
    """A ScoreVAE on the exact prior, whose z is the code above, with `statistics` of them."""
    noisy = noisy_input(SDE, network(Encoder(MLP(32, 32, 1, zero=False), 1 + statistics), (2,)))
    # The code is given, not learnt: what z says is then known.
    fixed = noisy._replace(clean=lambda params, x, keys=None: DiagGaussian(code(x), jnp.full((len(x), 1), -12.0)))
    if statistics:
        fixed = lifted(SDE, fixed, 1, network(MLP(statistics, 32, 1, zero=False), (1,)))
    prior = Method(None, None, unconditional=lambda params, frozen: prior_score)
    method = score_vae(SDE, prior, fixed, times_uniform_in_log_snr(SDE, N), sigmoid(), kl_penalty(0.0))
    optimiser = adam(1e-2, steps, 20, 1.0, cosine)
    state = init_state(method, optimiser, jax.random.key(0))
    update = make_update(method, optimiser, 0.98)

    @jax.jit
    def run(state):
        def body(state, i):
            x = draw(jax.random.fold_in(jax.random.key(7), i))
            return update(state, {"prior": None}, jax.random.key(1), Batch(x, jnp.arange(N)))[0], None

        return jax.lax.scan(body, state, jnp.arange(steps))[0]

    params = run(state).ema_params
    return lambda z: method.score(params, {"prior": None}, z)


def left(score_of, times, n=4096):
    """What is left of what y says, at each of some times: E|s - exact|^2 / E|prior - exact|^2."""
    x_0 = draw(jax.random.key(11), n)
    eps = jax.random.normal(jax.random.key(12), x_0.shape)

    @jax.jit
    def at(t):
        t = jnp.full(n, t)
        x_t = diffuse(SDE, x_0, t, eps)
        exact = exact_score(x_0[:, :1])(x_t, t)
        square = lambda s: jnp.mean(jnp.sum((s(x_t, t) - exact) ** 2, axis=1))
        return square(score_of(code(x_0))) / square(prior_score)

    return [float(at(jnp.float32(t))) for t in times]


def test_trained_it_finds_what_no_density_of_z_alone_can():
    assert max(left(trained(1), (0.15, 0.4, 0.7))) < 0.08
    # x_t says little at t = 0.7, where alpha^2 is 0.007.
    [late] = left(trained(0), (0.7,))
    assert 1 - SHARE - 0.03 < late < 0.8
