"""Penalties on KL(q(z | x_0) || N(0, I)): functions of the posterior and of the step, in nats per example."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array

from sde_vae.arrays import sum_per_example
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.types import PerExample

# Penalty(q, step) -> [batch]. `step` is the number of updates made so far, or None outside a training loop.
Penalty = Callable[[DiagGaussian, Array | None], PerExample]


def kl_penalty(beta: float, free_bits: float = 0.0, warmup: int = 0) -> Penalty:
    """Return the penalty beta sum_d max(KL(q(z_d | x_0) || N(0, 1)), free_bits) of a beta-VAE (Higgins et al. 2017).

    `free_bits` is the KL in nats that each dimension has without a penalty, against posterior collapse (Kingma et al. 2016,
    arXiv:1606.04934, appendix C.8). The paper applies it to the batch's mean. Here it applies to each example, so that the
    loss does not depend on how a batch is split.

    Over the first `warmup` steps the weight rises linearly from 0 to beta (Sonderby et al. 2016, arXiv:1602.02282). The loss
    is a bound only with beta = 1 and no warm-up, and the free bits loosen it.

    >>> q = DiagGaussian(mean=jnp.array([[2.0, 0.0]]), log_var=jnp.zeros((1, 2)))
    >>> kl_penalty(beta=0.5)(q, None)
    Array([1.], dtype=float32)
    >>> kl_penalty(beta=0.5, warmup=100)(q, jnp.int32(50))
    Array([0.5], dtype=float32)
    """

    def penalty(q: DiagGaussian, step: Array | None) -> PerExample:
        kl = sum_per_example(jnp.maximum(q.kl_per_dimension(), free_bits))
        reached = 1.0 if step is None or warmup == 0 else jnp.minimum(1.0, step / warmup)
        return beta * reached * kl

    return penalty
