"""The diagonal Gaussian: an encoder's posterior q(z | x), or the likelihood p(x | z) of a VAE's decoder."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from sde_vae.arrays import normal, sum_per_example
from sde_vae.types import Keys, PerExample, Points


class DiagGaussian(NamedTuple):
    """N(mean, diag(exp(log_var))), one per example, over latents [batch, latent] or points of any shape.

    >>> q = DiagGaussian(mean=jnp.zeros((1, 2)), log_var=jnp.zeros((1, 2)))
    >>> q.log_prob(jnp.zeros((1, 2))).round(3)
    Array([-1.838], dtype=float32)
    >>> q.kl_to_standard()
    Array([0.], dtype=float32)
    """

    mean: Any  # Points, on a device or on the host
    log_var: Any

    def log_prob(self, z: Points) -> PerExample:
        """Return the log-density at z in nats, normaliser included: [batch].

        The term -1/2 sum log_var belongs to grad_x log q(z | x_t), because log_var depends on x_t.
        """
        return self.quadratic(z) - 0.5 * sum_per_example(self.log_var + math.log(2 * math.pi))

    def quadratic(self, z: Points) -> PerExample:
        """Return -1/2 sum (z - mean)^2 / var: log_prob without its log-variance term, as in the authors' code. [batch]."""
        return -0.5 * sum_per_example(jnp.square(z - self.mean) * jnp.exp(-self.log_var))

    def sample(self, keys: Keys) -> Points:
        """Draw one reparameterised sample per example: gradients flow to mean and log_var."""
        return self.mean + jnp.exp(0.5 * self.log_var) * normal(keys, self.mean)

    def kl_to_standard(self) -> PerExample:
        """Return KL(N(mean, var) || N(0, I)) in nats: [batch]."""
        return sum_per_example(self.kl_per_dimension())

    def kl_per_dimension(self) -> Points:
        """Return the KL of each dimension to N(0, 1) in nats, with the shape of the mean.

        expm1 is exact near log_var = 0, where exp(v) - 1 - v loses all digits by cancellation.
        """
        return 0.5 * (jnp.square(self.mean) + jnp.expm1(self.log_var) - self.log_var)
