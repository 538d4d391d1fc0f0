"""Worlds in which every score, posterior and bound has a closed form. No networks, float64.

LinearGaussian    x_0 ~ N(m, C), z | x_0 ~ N(A x_0, s^2 I): everything is Gaussian, the posterior of z given x_t too.
Mixture           x_0 ~ sum_k w_k N(m_k, v I), z | x_0 ~ N(A x_0, s^2 I): the posterior of z given x_t is a mixture.

Written from the definitions, in matrices, apart from the library: nothing here imports sde_vae but the SDE that is asked for.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp


def gaussian_logpdf(x, mean, cov):
    """log N(x; mean, cov) for x [batch, d], mean [batch, d], cov [d, d]."""
    chol = jnp.linalg.cholesky(cov)
    white = jax.scipy.linalg.solve_triangular(chol, (x - mean).T, lower=True)
    return -0.5 * jnp.sum(white**2, axis=0) - jnp.sum(jnp.log(jnp.diag(chol))) - 0.5 * x.shape[1] * jnp.log(2 * jnp.pi)


class LinearGaussian(NamedTuple):
    m: jax.Array  # [d]
    C: jax.Array  # [d, d]
    A: jax.Array  # [k, d]
    s: float

    @staticmethod
    def random(key, d=3, k=2, s=0.3):
        k1, k2, k3 = jax.random.split(key, 3)
        L = jax.random.normal(k1, (d, d)) / jnp.sqrt(d)
        return LinearGaussian(
            0.5 * jax.random.normal(k2, (d,)), L @ L.T + 0.1 * jnp.eye(d), jax.random.normal(k3, (k, d)), s
        )

    def sample(self, key, n):
        """(x_0, z)."""
        k1, k2 = jax.random.split(key)
        d, k = self.C.shape[0], self.A.shape[0]
        x = self.m[None] + jax.random.normal(k1, (n, d)) @ jnp.linalg.cholesky(self.C).T
        return x, x @ self.A.T + self.s * jax.random.normal(k2, (n, k))

    def given_z(self, z):
        """x_0 | z, one z [k]: (mean [d], cov [d, d])."""
        S = self.A @ self.C @ self.A.T + self.s**2 * jnp.eye(len(z))
        gain = self.C @ self.A.T @ jnp.linalg.inv(S)
        return self.m + gain @ (z - self.A @ self.m), self.C - gain @ self.A @ self.C

    def marginal_score(self, sde):
        """grad_x log p_t(x), in the eigenbasis of C."""
        values, U = jnp.linalg.eigh(self.C)

        def score(x, t):
            a, sig = sde.alpha(t)[:, None], sde.sigma(t)[:, None]
            return -((x - a * self.m[None]) @ U / (a**2 * values[None] + sig**2)) @ U.T

        return score

    def conditional_score(self, sde, z):
        """grad_x log p_t(x | z) for z [batch, k]: written without Bayes' rule, from x_0 | z."""

        def one(x, t, z):
            mean, cov = self.given_z(z)
            return _gaussian_score(sde, mean, cov, x, t)

        return lambda x, t: jax.vmap(one)(x, t, z)

    def posterior(self, sde, x, t):
        """z | x_t = x, one example: (mean [k], cov [k, k])."""
        a, sig = sde.alpha(t[None])[0], sde.sigma(t[None])[0]
        S = a**2 * self.C + sig**2 * jnp.eye(len(x))
        gain = a * self.A @ self.C @ jnp.linalg.inv(S)
        mean = self.A @ self.m + gain @ (x - a * self.m)
        return mean, self.A @ self.C @ self.A.T + self.s**2 * jnp.eye(len(mean)) - a * gain @ self.C @ self.A.T

    def log_likelihood(self, sde, z):
        """(x, t) -> log p(z | x_t = x), [batch]."""

        def one(x, t, z):
            mean, cov = self.posterior(sde, x, t)
            return gaussian_logpdf(z[None], mean[None], cov)[0]

        return lambda x, t: jax.vmap(one)(x, t, z)

    def denoising_error(self, sde, t, cov):
        """E || eps - E[eps | x_t] ||^2 for x_0 of covariance cov: the least noise error at time t (a scalar)."""
        a, sig = sde.alpha(t[None])[0], sde.sigma(t[None])[0]
        # eps | x_t has covariance I - sigma^2 (a^2 cov + sigma^2 I)^-1.
        return jnp.trace(jnp.eye(len(cov)) - sig**2 * jnp.linalg.inv(a**2 * cov + sig**2 * jnp.eye(len(cov))))


class Mixture(NamedTuple):
    w: jax.Array  # [K]
    m: jax.Array  # [K, d]
    v: float
    A: jax.Array  # [k, d]
    s: float

    def sample(self, key, n):
        """(x_0, z)."""
        k1, k2, k3 = jax.random.split(key, 3)
        component = jax.random.categorical(k1, jnp.log(self.w), shape=(n,))
        x = self.m[component] + jnp.sqrt(self.v) * jax.random.normal(k2, (n, self.m.shape[1]))
        return x, x @ self.A.T + self.s * jax.random.normal(k3, (n, self.A.shape[0]))

    def given_z(self, z):
        """x_0 | z, one z [k]: the mixture's (log weights [K], means [K, d], cov [d, d])."""
        S = self.v * self.A @ self.A.T + self.s**2 * jnp.eye(len(z))
        gain = self.v * self.A.T @ jnp.linalg.inv(S)
        centre = self.m @ self.A.T
        log_w = jnp.log(self.w) + gaussian_logpdf(jnp.broadcast_to(z, centre.shape), centre, S)
        means = self.m + (z[None] - centre) @ gain.T
        return log_w - logsumexp(log_w), means, self.v * jnp.eye(self.m.shape[1]) - gain @ self.A * self.v

    def marginal_score(self, sde):
        cov = self.v * jnp.eye(self.m.shape[1])
        return lambda x, t: jax.vmap(lambda x, t: _mixture_score(sde, jnp.log(self.w), self.m, cov, x, t))(x, t)

    def conditional_score(self, sde, z):
        return lambda x, t: jax.vmap(lambda x, t, z: _mixture_score(sde, *self.given_z(z), x, t))(x, t, z)

    def log_likelihood(self, sde, z):
        """(x, t) -> log p(z | x_t = x): a mixture over components of Gaussians in z, weighted by p(component | x_t)."""

        def one(x, t, z):
            log_r, means, cov = self.z_posterior(sde, x, t)
            return logsumexp(log_r + gaussian_logpdf(jnp.broadcast_to(z, means.shape), means, cov))

        return lambda x, t: jax.vmap(one)(x, t, z)

    def gaussian_log_likelihood(self, sde, z):
        """log of the Gaussian with the mean and covariance of p(z | x_t): what a Gaussian encoder can say by moments."""

        def one(x, t, z):
            log_r, means, cov = self.z_posterior(sde, x, t)
            r = jnp.exp(log_r)
            mean = r @ means
            spread = means - mean[None]
            return gaussian_logpdf(z[None], mean[None], cov + spread.T @ (r[:, None] * spread))[0]

        return lambda x, t: jax.vmap(one)(x, t, z)

    def class_score(self, sde, k):
        """grad_x log p_t(x | component k), k [batch]: one Gaussian."""
        cov = self.v * jnp.eye(self.m.shape[1])
        return lambda x, t: jax.vmap(lambda x, t, k: _gaussian_score(sde, self.m[k], cov, x, t))(x, t, k)

    def log_class(self, sde, k):
        """(x, t) -> log p(component k | x_t = x), [batch]."""
        return lambda x, t: jax.vmap(lambda x, t, k: self.z_posterior(sde, x, t)[0][k])(x, t, k)

    def of_class(self, k):
        """The world given the component k: linear and Gaussian."""
        return LinearGaussian(self.m[k], self.v * jnp.eye(self.m.shape[1]), self.A, self.s)

    def z_posterior(self, sde, x, t):
        """z | x_t = x, one example: the mixture's (log weights [K], means [K, k], cov [k, k])."""
        a, sig = sde.alpha(t[None])[0], sde.sigma(t[None])[0]
        S = (a**2 * self.v + sig**2) * jnp.eye(len(x))
        log_r = jnp.log(self.w) + gaussian_logpdf(jnp.broadcast_to(x, self.m.shape), a * self.m, S)
        shrink = a * self.v / (a**2 * self.v + sig**2)
        means = self.m + shrink * (x[None] - a * self.m)
        cov = (self.v - shrink * a * self.v) * self.A @ self.A.T + self.s**2 * jnp.eye(len(self.A))
        return log_r - logsumexp(log_r), means @ self.A.T, cov


def _gaussian_score(sde, mean, cov, x, t):
    a, sig = sde.alpha(t[None])[0], sde.sigma(t[None])[0]
    return -jnp.linalg.solve(a**2 * cov + sig**2 * jnp.eye(len(x)), x - a * mean)


def _mixture_score(sde, log_w, means, cov, x, t):
    """By hand: the responsibilities' average of the components' scores."""
    a, sig = sde.alpha(t[None])[0], sde.sigma(t[None])[0]
    S = a**2 * cov + sig**2 * jnp.eye(len(x))
    log_r = log_w + gaussian_logpdf(jnp.broadcast_to(x, means.shape), a * means, S)
    r = jnp.exp(log_r - logsumexp(log_r))
    return r @ -jnp.linalg.solve(S, (x[None] - a * means).T).T
