"""Exact log-likelihood by the probability-flow ODE, and the bound that it gives for discrete data.

Along dx / dt = h(x, t) the density changes by d log p(x(t)) / dt = -tr dh / dx (arXiv:2011.13456, eq. 39), so that

    log p(x_eps) = log pi(x_T) + int tr dh / dx dt,       eps = t_min,    pi = N(0, sigma(T)^2 I)

is the density of the x_eps that `solvers.ode` makes from x_T ~ pi. It is a likelihood and not a bound. For the exact score it is
the density of the data, up to the error of pi. For another score it is the density of the model that the ODE defines. With a
score given z it is log p(x_eps | z).

For data on a lattice, such as 8-bit images, x_eps ~ q(x_eps | x_0) = N(alpha x_0, sigma^2 I) is the dequantised x_0, and

    -log P(x_0) <= E[-log p(x_eps)] + E[log q(x_eps | x_0)] + E[-log p(x_0 | x_eps)].
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from sde_vae.arrays import expand, keys_of, sum_per_example
from sde_vae.bounds.terms import noised, reconstruction_at
from sde_vae.diffusion.sdes import SDE
from sde_vae.solvers.ode import flow, integrate_adaptive, radius
from sde_vae.types import Batch, Keys, PerExample, Points, PRNGKey, ScoreFn

# Divergence(h, x, keys) -> (h(x), tr dh / dx), the trace [batch], for an h that does not couple the examples.
Divergence = Callable[[Callable[[Points], Points], Points, Keys], tuple[Points, PerExample]]


def exact_trace(h: Callable[[Points], Points], x: Points, keys: Keys) -> tuple[Points, PerExample]:
    """Return (h(x), tr dh / dx), with one product with the Jacobian for each dimension of x. `keys` are not used.

    The products are in reverse mode, because the convolution of nets/conv.py has no forward mode.

    >>> from sde_vae.arrays import keys_of
    >>> value, trace = exact_trace(lambda x: x**2, jnp.array([[1.0, 2.0]]), keys_of(jax.random.key(0), jnp.arange(1)))
    >>> trace
    Array([6.], dtype=float32)
    """
    del keys
    value, pull = jax.vjp(h, x)
    d = math.prod(x.shape[1:])

    def add(i: int | Array, trace: PerExample) -> PerExample:
        basis = jnp.broadcast_to(jnp.zeros(d, x.dtype).at[i].set(1).reshape(1, *x.shape[1:]), x.shape)
        return trace + sum_per_example(basis * pull(basis)[0])

    return value, jax.lax.fori_loop(0, d, add, jnp.zeros(x.shape[:1], x.dtype))


def hutchinson(h: Callable[[Points], Points], x: Points, keys: Keys) -> tuple[Points, PerExample]:
    """Return (h(x), v^T (dh / dx) v) with v of random signs: Hutchinson's unbiased estimate of the trace (arXiv:1810.01367).

    It takes one product with the Jacobian. The probe v is determined by the example's key. It is therefore constant along a
    path, as an adaptive solver needs.

    >>> from sde_vae.arrays import keys_of
    >>> value, trace = hutchinson(lambda x: x**2, jnp.array([[1.0, 2.0]]), keys_of(jax.random.key(0), jnp.arange(1)))
    >>> trace
    Array([6.], dtype=float32)
    """
    value, pull = jax.vjp(h, x)
    probe = jax.vmap(lambda key: jax.random.rademacher(key, x.shape[1:], x.dtype))(keys)
    return value, sum_per_example(probe * pull(probe)[0])


def log_likelihood(
    sde: SDE,
    score: ScoreFn,
    divergence: Divergence,
    keys: Keys,
    x: Points,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 1000,
) -> PerExample:
    """Return log p(x) in nats, of x at t_min: [batch].

    The tolerances apply to x in units of the data, and to the log-likelihood in nats per dimension. An example is NaN where the
    solver fails, as in `solvers.ode`. In the coordinates y = x / r and phi of that solver, log p(x) = log p(y) - d log r.

    >>> from sde_vae.arrays import keys_of
    >>> from sde_vae.diffusion.sdes import VP
    >>> keys = keys_of(jax.random.key(0), jnp.arange(1))
    >>> log_likelihood(VP(), lambda x, t: -x, exact_trace, keys, jnp.zeros((1, 2))).round(2)
    Array([-1.84], dtype=float32)
    """
    d = math.prod(x.shape[1:])
    velocity = flow(sde, score)

    def rate(state: tuple[Points, PerExample], t: PerExample) -> tuple[Points, PerExample]:
        v, trace = divergence(lambda y: velocity(y, t), state[0], keys)
        return v, trace / d

    t, T = jnp.full(x.shape[:1], sde.t_min, x.dtype), jnp.full(x.shape[:1], sde.T, x.dtype)
    start = x / expand(radius(sde, t), x), jnp.zeros_like(t)
    y, change = integrate_adaptive(sde, rate, start, t, T, rtol, atol, max_steps)
    # The density of pi in y, and the change from y to x at t_min.
    std = sde.sigma(T) / radius(sde, T)
    log_pi = -0.5 * sum_per_example(jnp.square(y / expand(std, y))) - d * (jnp.log(std) + 0.5 * math.log(2 * math.pi))
    return log_pi + d * (change - jnp.log(radius(sde, t)))


class OdeTerms(NamedTuple):
    """The terms of the bound by the ODE, in nats per example. With a score given z, the posterior's KL is to be added."""

    ode: PerExample  # -log p(x_eps)
    dequantisation: PerExample  # E[log q(x_eps | x_0)]
    reconstruction: PerExample  # -log p(x_0 | x_eps)

    @property
    def total(self) -> PerExample:
        """Return an estimate of an upper bound of -log P(x_0) in nats: [batch]."""
        return self.ode + self.dequantisation + self.reconstruction


def ode_bound(
    sde: SDE,
    score: ScoreFn,
    divergence: Divergence,
    levels: int,
    key: PRNGKey,
    batch: Batch,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 1000,
) -> OdeTerms:
    """Return one draw of each term, at one x_eps, for data on `levels` equal steps of [-1, 1].

    The second term is its mean, minus the entropy of q, and not its value at x_eps. The value varies by -|eps|^2 / 2, for which
    the first term compensates only where the data is narrower than sigma. Under Gaussians with the covariances of the digits,
    MNIST and Fashion-MNIST (VP, t_min = 1e-3), the mean makes the standard deviation of the sum 3, 2 and 10 times smaller.

    >>> from sde_vae.diffusion.sdes import VP
    >>> from sde_vae.types import Batch
    >>> batch = Batch(jnp.zeros((3, 2)), jnp.arange(3))
    >>> ode_bound(VP(), lambda x, t: -x, hutchinson, 3, jax.random.key(0), batch).total.shape
    (3,)
    """
    key_noise, key_probe = jax.random.split(key)
    x_eps = noised(sde, key_noise, batch)
    keys = keys_of(key_probe, batch.index)
    sigma = sde.sigma(jnp.full(x_eps.shape[:1], sde.t_min, x_eps.dtype))
    return OdeTerms(
        ode=-log_likelihood(sde, score, divergence, keys, x_eps, rtol, atol, max_steps),
        dequantisation=-math.prod(x_eps.shape[1:]) * (jnp.log(sigma) + 0.5 * math.log(2 * math.pi * math.e)),
        reconstruction=reconstruction_at(sde, levels, batch.x, x_eps),
    )
