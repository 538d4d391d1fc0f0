"""Group normalisation (Wu & He 2018, arXiv:1803.08494), whose statistics and gradients are fast sums over pixels."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from sde_vae.nets.pixels import Images, PerChannel, affine, pixel_sums_of_two
from sde_vae.types import Dtype


class GroupNorm(nn.Module):
    """Normalise x [batch, H, W, C] over the pixels and the channels of each of `num_groups` groups, then scale and shift.

    The parameters are those of flax's GroupNorm, and so is the result, up to rounding. It is computed in float32 and returned in `dtype`.
    """

    num_groups: int
    epsilon: float = 1e-6
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Images) -> Images:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        mean, variance = moments(x, self.num_groups)
        scale = jax.lax.rsqrt(variance + self.epsilon) * scale[None]
        return affine(x, mean, scale, jnp.broadcast_to(bias[None], scale.shape)).astype(self.dtype)


def moments(x: Images, groups: int) -> tuple[PerChannel, PerChannel]:
    """Return (mean, variance) of each image and group of channels, repeated for the channels of a group: [batch, C] each."""
    return _moments(x, groups)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _moments(x: Images, groups: int) -> tuple[PerChannel, PerChannel]:
    # In one pass over x, about one of its pixels: that is near enough to the mean for their difference to lose no digits.
    about = x[:, 0, 0]
    d = x - about[:, None, None, :]
    first, second = (s / (x.shape[1] * x.shape[2]) for s in pixel_sums_of_two(d, jnp.square(d)))
    mean = _of_group(about + first, groups)
    # The variance within a channel, which rounding may take below 0, and that between the channels of a group.
    within = jnp.maximum(second - jnp.square(first), 0.0)
    return mean, _of_group(within + jnp.square(about + first - mean), groups)


def _of_group(v: PerChannel, groups: int) -> PerChannel:
    """Return the mean over the channels of each group, repeated for each of them."""
    b, c = v.shape
    return jnp.repeat(jnp.mean(v.reshape(b, groups, c // groups), axis=-1), c // groups, axis=-1)


def _moments_forward(x: Images, groups: int) -> tuple[tuple[PerChannel, PerChannel], tuple[Images, PerChannel]]:
    mean, variance = moments(x, groups)
    return (mean, variance), (x, mean)


def _moments_backward(
    groups: int, saved: tuple[Images, PerChannel], gradients: tuple[PerChannel, PerChannel]
) -> tuple[Images]:
    x, mean = saved
    of_mean, of_variance = (_of_group(d, groups) / (x.shape[1] * x.shape[2]) for d in gradients)
    return (affine(x, mean, 2 * of_variance, of_mean),)


_moments.defvjp(_moments_forward, _moments_backward)
