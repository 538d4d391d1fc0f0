"""Inpainting: a part of the image is hidden. y is the image with 0 there, and the mask is known."""

import abc
import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sde_vae.arrays import expand
from sde_vae.methods.observation import LinearOperator, Mask
from sde_vae.types import Keys, Observed, PerExample, Points, PRNGKey

OneMask = Float[Array, "H W 1"]


@dataclasses.dataclass(frozen=True)
class Inpainting(LinearOperator):
    """The operator x -> mask x. A A' is the identity on the pixels that are seen. Without a mask the whole image is seen."""

    def draw(self, keys: Keys, x: Points) -> Mask:
        """Return the masks, [batch, H, W, 1]: 0 in the hole, 1 elsewhere."""
        return jax.vmap(lambda key: self.draw_one(key, x.shape[1], x.shape[2]))(keys).astype(x.dtype)

    @abc.abstractmethod
    def draw_one(self, key: PRNGKey, height: int, width: int) -> OneMask:
        """Return one mask."""

    def forward(self, x: Points, mask: Mask | None = None) -> Observed:
        return x if mask is None else x * mask

    def adjoint(self, y: Observed, mask: Mask | None = None) -> Points:
        return self.forward(y, mask)

    def solve(self, y: Observed, a: PerExample, b: PerExample) -> Observed:
        # The hole of y is 0 and stays 0.
        return y / expand(a + b, y)


@dataclasses.dataclass(frozen=True)
class HiddenSquare(Inpainting):
    """A square that covers `share` of the area, at a random place: the task of arXiv:2111.13606.

    >>> from sde_vae.arrays import keys_of
    >>> mask = HiddenSquare(0.25).draw(keys_of(jax.random.key(0), jnp.arange(3)), jnp.zeros((3, 8, 8, 1)))
    >>> (1 - mask).sum((1, 2, 3)).tolist()
    [16.0, 16.0, 16.0]
    """

    share: float = 0.25

    def draw_one(self, key: PRNGKey, height: int, width: int) -> OneMask:
        side = min(max(1, round((self.share * height * width) ** 0.5)), height, width)
        sides = jnp.array([side, side])
        return _without_box(_corner(key, sides, height, width), sides, height, width)


@dataclasses.dataclass(frozen=True)
class HiddenBox(Inpainting):
    """A rectangle at a random place, each side drawn between a quarter and three quarters of the image's."""

    def draw_one(self, key: PRNGKey, height: int, width: int) -> OneMask:
        key_sides, key_corner = jax.random.split(key)
        whole = jnp.array([height, width])
        sides = jax.random.randint(key_sides, (2,), jnp.maximum(whole // 4, 1), whole * 3 // 4 + 1)
        return _without_box(_corner(key_corner, sides, height, width), sides, height, width)


@dataclasses.dataclass(frozen=True)
class HiddenPixels(Inpainting):
    """Each pixel is hidden with probability `share`, all its channels at once."""

    share: float = 0.25

    def draw_one(self, key: PRNGKey, height: int, width: int) -> OneMask:
        return jax.random.bernoulli(key, 1 - self.share, (height, width, 1)).astype(jnp.float32)


def _corner(key: PRNGKey, sides: Array, height: int, width: int) -> Array:
    return jax.random.randint(key, (2,), 0, jnp.array([height, width]) - sides + 1)


def _without_box(corner: Array, sides: Array, height: int, width: int) -> OneMask:
    rows, columns = jnp.arange(height), jnp.arange(width)
    inside = lambda at, i: (at >= corner[i]) & (at < corner[i] + sides[i])
    box = inside(rows, 0)[:, None] & inside(columns, 1)[None, :]
    return 1.0 - box.astype(jnp.float32)[..., None]
