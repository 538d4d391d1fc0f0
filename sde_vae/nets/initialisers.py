"""Initial kernels, drawn by programs of few sizes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.core import Tracer
from jaxtyping import Array

from sde_vae.types import Dtype, PRNGKey

_traced = nn.initializers.lecun_normal()


def lecun_normal(key: PRNGKey, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
    """Return what flax's lecun_normal returns, to the last bit: a truncated normal of variance 1 / fan_in.

    That compiles a program for each shape, which takes longer than the draw. With jax_threefry_partitionable, the default, number i of a draw
    depends on the key and on i alone. A draw of another length then begins with the same numbers: here the length is the next power of
    four.
    """
    if isinstance(key, Tracer):
        return _traced(key, shape, dtype)
    n = math.prod(shape)
    drawn = jax.random.truncated_normal(key, -2, 2, (4 ** math.ceil((n - 1).bit_length() / 2),), dtype)
    # The deviation of a normal distribution that is truncated at two deviations.
    std = np.sqrt(np.asarray(shape[-1] / n, dtype)) / np.asarray(0.87962566103423978, dtype)
    return jax.device_put(np.asarray(drawn)[:n].reshape(shape) * std)
