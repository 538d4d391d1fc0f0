"""What a latent pays for what it says: functions of q(z | x_0) and of the step, in nats per example."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array

from sde_vae.arrays import sum_per_example
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.types import PerExample

# Penalty(q, step) -> [batch]; `step` counts the updates made so far, None where nobody counts.
Penalty = Callable[[DiagGaussian, Array | None], PerExample]


def kl_penalty(beta: float, free_bits: float = 0.0, warmup: int = 0) -> Penalty:
    """beta sum_d max(KL(q(z_d | x_0) || N(0, 1)), free_bits): beta-VAE (Higgins et al. 2017), against collapse.

    free_bits, in nats a dimension, are what a dimension says for nothing (Kingma et al. 2016, arXiv:1606.04934, appendix C.8; there
    of the batch's mean, here of each example, so that it does not depend on how a batch is split). Over the first `warmup` steps
    the price rises linearly from 0 to beta (Sonderby et al. 2016, arXiv:1602.02282). Only beta = 1 without a warm-up makes a bound, the
    looser for its free bits.
    """

    def penalty(q: DiagGaussian, step: Array | None) -> PerExample:
        kl = sum_per_example(jnp.maximum(q.kl_per_dimension(), free_bits))
        reached = 1.0 if step is None or warmup == 0 else jnp.minimum(1.0, step / warmup)
        return beta * reached * kl

    return penalty
