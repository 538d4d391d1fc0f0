"""The diagonal Gaussian: what an encoder returns, what a latent is drawn from, and the likelihood of a VAE's decoder."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from sde_vae.arrays import normal, sum_per_example
from sde_vae.types import Keys, PerExample, Points


class DiagGaussian(NamedTuple):
    """N(mean, diag(exp(log_var))), one per example: over latents [batch, latent], or over points of any shape."""

    mean: Points
    log_var: Points

    def log_prob(self, z: Points) -> PerExample:
        """log density at z in nats, normaliser included.

        The term -1/2 sum log_var matters where log_var depends on what we differentiate by: in grad_x log q(z | x_t).
        """
        return self.quadratic(z) - 0.5 * sum_per_example(self.log_var + math.log(2 * math.pi))

    def quadratic(self, z: Points) -> PerExample:
        """-1/2 (z - mean)^2 / var summed: log_prob without its log-variance term, which is what the authors' code takes for it."""
        return -0.5 * sum_per_example(jnp.square(z - self.mean) * jnp.exp(-self.log_var))

    def sample(self, keys: Keys) -> Points:
        """One reparameterised draw per example: gradients flow to mean and log_var."""
        return self.mean + jnp.exp(0.5 * self.log_var) * normal(keys, self.mean)

    def kl_to_standard(self) -> PerExample:
        """KL(N(mean, var) || N(0, I)) in nats."""
        return sum_per_example(self.kl_per_dimension())

    def kl_per_dimension(self) -> Points:
        """The summands of kl_to_standard.

        expm1 keeps the part in log_var exact near log_var = 0, where exp(v) - 1 - v is all cancellation.
        """
        return 0.5 * (jnp.square(self.mean) + jnp.expm1(self.log_var) - self.log_var)


# EncodeFn(x, t) -> q(z | x_t = x, t)
EncodeFn = Callable[[Points, PerExample], DiagGaussian]
