"""The layers of score_sde's networks (arXiv:2006.11239, appendix B; arXiv:2011.13456, appendix H).

The classes and parameters have the names that they have in score_sde's Flax files: a file's tree is the tree of this network.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from sde_vae.nets.conv import conv
from sde_vae.nets.layers import Embedding, Images
from sde_vae.nets.norm import GroupNorm
from sde_vae.nets.pixels import add_bias
from sde_vae.types import Dtype, PerExample, PRNGKey

Initializer = Callable[..., Array]
Activation = Callable[[Array], Array]
EPSILON = 1e-6


def initial(scale: float = 1.0) -> Initializer:
    """Return DDPM's initialiser: uniform, of variance `scale` over the mean of fan-in and fan-out; 0 stands for 1e-10.

    Its numbers are those of flax to the last bit. As in `nets.initialisers` they are drawn by programs of few sizes.
    """
    scale = scale or 1e-10
    traced = nn.initializers.variance_scaling(scale, "fan_avg", "uniform")

    def draw(key: PRNGKey, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
        if isinstance(key, Tracer):
            return traced(key, shape, dtype)
        n, pixels = math.prod(shape), math.prod(shape[:-2])
        drawn = jax.random.uniform(key, (4 ** math.ceil((n - 1).bit_length() / 2),), dtype, -1)
        variance = np.asarray(scale / (pixels * (shape[-2] + shape[-1]) / 2), dtype)
        return jax.device_put(np.asarray(drawn)[:n].reshape(shape) * np.sqrt(3 * variance))

    return draw


class Conv(nn.Module):
    """Convolution of odd size with a bias, which keeps the size of the images."""

    features: int
    size: int = 3
    scale: float = 1.0

    @nn.compact
    def __call__(self, x: Images) -> Images:
        shape = (self.size, self.size, x.shape[-1], self.features)
        w = self.param("kernel", initial(self.scale), shape, jnp.float32)
        b = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return add_bias(conv(x, w), b)


class NIN(nn.Module):
    """Dense layer over the channels of every pixel ("network in network")."""

    features: int
    scale: float = 0.1

    @nn.compact
    def __call__(self, x: Images) -> Images:
        w = self.param("W", initial(self.scale), (x.shape[-1], self.features), jnp.float32)
        b = self.param("b", nn.initializers.zeros, (self.features,), jnp.float32)
        return add_bias(conv(x, w[None, None]), b)


class GaussianFourierProjection(nn.Module):
    """Map log sigma [batch] to sinusoids of 2 pi W log sigma: [batch, 2 features], with W drawn once and never trained."""

    features: int
    scale: float

    @nn.compact
    def __call__(self, log_sigma: PerExample) -> Embedding:
        w = self.param("W", nn.initializers.normal(self.scale), (self.features,), jnp.float32)
        angles = 2 * math.pi * log_sigma[:, None] * jax.lax.stop_gradient(w)[None, :]
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def embed_time(time: PerExample, dim: int) -> Embedding:
    """Return DDPM's sinusoids of a time in steps: sin, then cos, of frequencies from 1 down to 1e-4, [batch, dim] for an even dim.

    >>> embed_time(jnp.array([0.0]), 4).tolist()
    [[0.00, 0.00, 1.00, 1.00]]
    """
    frequencies = jnp.exp(-math.log(10_000.0) * jnp.arange(dim // 2, dtype=jnp.float32) / (dim // 2 - 1))
    angles = time[:, None] * frequencies[None, :]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def joined(x: Images, h: Images, rescale: bool) -> Images:
    """Return x + h, divided by sqrt 2 with `rescale`, which keeps the variance (arXiv:2011.13456, appendix H)."""
    return (x + h) / math.sqrt(2.0) if rescale else x + h


class AttnBlock(nn.Module):
    """Residual self-attention over the pixels with one head."""

    groups: int
    rescale: bool = False
    scale: float = 0.0

    @nn.compact
    def __call__(self, x: Images) -> Images:
        b, height, width, c = x.shape
        h = GroupNorm(self.groups, epsilon=EPSILON)(x)
        q, k, v = (NIN(c)(h).reshape(b, height * width, c) for _ in range(3))
        weights = nn.softmax(jnp.einsum("bic,bjc->bij", q, k) / math.sqrt(c))
        h = jnp.einsum("bij,bjc->bic", weights, v).reshape(b, height, width, c)
        return joined(x, NIN(c, self.scale)(h), self.rescale)


class AttnBlockpp(AttnBlock):
    """The attention of NCSN++: an AttnBlock under another name."""
