"""x and y of a linear-Gaussian world, each diffused by an SDE of its own: every score of the pair in closed form, in float64."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sde_vae.methods.observation import Observe, Operator
from sde_vae.types import Condition
from tests.helpers.oracles import LinearGaussian


class Identity(Operator):
    """The operator of observations that have the size of x already."""

    def forward(self, x, mask=None):
        return x


class JointGaussian(NamedTuple):
    """x ~ N(m, C), y = A x + s xi; x_t = a x + sigma eps, y_t = a_y y + sigma_y eps_y. All covariances are of the pair (x, y)."""

    data: LinearGaussian

    def moments(self):
        """The mean [d + k] and the covariance of (x, y)."""
        m, C, A, s = self.data
        cross = C @ A.T
        return jnp.concatenate([m, A @ m]), jnp.block([[C, cross], [cross.T, A @ cross + s**2 * jnp.eye(len(A))]])

    def at(self, sde, y_sde, t):
        """The mean and the covariance of (x_t, y_t), one time t []."""
        mean, cov = self.moments()
        d = len(self.data.m)
        of = lambda f, g: jnp.where(jnp.arange(len(mean)) < d, f(t[None])[0], g(t[None])[0])
        scale, noise = of(sde.alpha, y_sde.alpha), of(sde.sigma, y_sde.sigma)
        return scale * mean, scale[:, None] * cov * scale[None, :] + jnp.diag(noise**2)

    def score(self, sde, y_sde, x, y, t):
        """grad_{x, y} log p(x_t, y_t), both parts: [batch, d], [batch, k]."""

        def one(x, y, t):
            mean, cov = self.at(sde, y_sde, t)
            return -jnp.linalg.solve(cov, jnp.concatenate([x, y]) - mean)

        both = jax.vmap(one)(x, y, t)
        return both[:, : x.shape[1]], both[:, x.shape[1] :]

    def observe(self) -> Observe:
        """y, as a method observes it of x."""

        def observe(x, keys):
            xi = jax.vmap(lambda key: jax.random.normal(key, (len(self.data.A),), x.dtype))(keys)
            return x, Condition(x @ self.data.A.T + self.data.s * xi, None, jnp.arange(len(x), dtype=jnp.uint32))

        return observe
