"""The diagonal Gaussian: what an encoder returns and what a latent is drawn from."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.arrays import normal
from sde_vae.types import Keys, Latents, PerExample, Points


class DiagGaussian(NamedTuple):
    """N(mean, diag(exp(log_var))), one per example."""

    mean: Float[Array, "batch latent"]
    log_var: Float[Array, "batch latent"]

    def log_prob(self, z: Latents) -> PerExample:
        """log density at z in nats, normaliser included.

        The term -1/2 sum log_var matters where log_var depends on what we differentiate by: in grad_x log q(z | x_t).
        """
        square = jnp.square(z - self.mean) * jnp.exp(-self.log_var)
        return -0.5 * jnp.sum(square + self.log_var + math.log(2 * math.pi), axis=-1)

    def sample(self, keys: Keys) -> Latents:
        """One reparameterised draw per example: gradients flow to mean and log_var."""
        return self.mean + jnp.exp(0.5 * self.log_var) * normal(keys, self.mean)

    def kl_to_standard(self) -> PerExample:
        """KL(N(mean, var) || N(0, I)) in nats.

        expm1 keeps the part in log_var exact near log_var = 0, where exp(v) - 1 - v is all cancellation.
        """
        return 0.5 * jnp.sum(jnp.square(self.mean) + jnp.expm1(self.log_var) - self.log_var, axis=-1)


# EncodeFn(x, t) -> q(z | x_t = x, t)
EncodeFn = Callable[[Points, PerExample], DiagGaussian]
