"""What is observed of images, and how training examples become images and their conditions.

An operator y = A(x) takes images x [batch, H, W, C] on [-1, 1]. Operators are frozen and hold settings only. What is random in one,
such as the place of a hole, is a mask, drawn from one key per example and passed to each function. data/operators has them.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
from jaxtyping import Array, Float

from sde_vae.arrays import fold, normal
from sde_vae.diffusion.losses import seen
from sde_vae.types import Condition, Examples, Keys, Observed, PerExample, Points

Mask = Float[Array, "batch _ _ 1"]
# Observe(examples, keys) -> (x, condition), with one key per example for all that is random in the observation.
Observe = Callable[[Examples, Keys], tuple[Points, Condition]]


@dataclasses.dataclass(frozen=True)
class Operator(abc.ABC):
    """A map from images x to observations y, which may be of another size.

    `up` brings y to the size of x, for networks that take both; `down` is the reverse, for their output. Each is the identity unless an
    operator says otherwise. Where y is not a function of x, `known` is False and there is no `forward`.
    """

    known: ClassVar[bool] = True

    def draw(self, keys: Keys, x: Points) -> Mask | None:
        """Return a mask for each example, 1 where x is seen, [batch, H, W, 1]; or None if nothing of the operator is random."""
        del keys, x
        return None

    @abc.abstractmethod
    def forward(self, x: Points, mask: Mask | None = None) -> Observed:
        """Return y = A(x)."""

    def up(self, y: Observed) -> Points:
        """Return y at the size of x: [batch, H, W, channels of y]."""
        return y

    def down(self, y: Points) -> Observed:
        """Return what has the size of x at the size of y: the left inverse of `up`."""
        return y


@dataclasses.dataclass(frozen=True)
class LinearOperator(Operator):
    """A linear operator, with its adjoint and the systems of equations of Gaussian likelihoods of y."""

    @abc.abstractmethod
    def adjoint(self, y: Observed, mask: Mask | None = None) -> Points:
        """Return A' y: <A x, y> = <x, A' y> for every x."""

    @abc.abstractmethod
    def solve(self, y: Observed, a: PerExample, b: PerExample) -> Observed:
        """Return (a A A' + b I)^-1 y of an observation y, for positive a and b: [batch]."""


@dataclasses.dataclass(frozen=True)
class Paired(Operator):
    """The operator of pairs (x, y) that are given together, of one size. What makes y of x is not known."""

    known: ClassVar[bool] = False

    def forward(self, x: Points, mask: Mask | None = None) -> Observed:
        raise TypeError("y is given with x: there is no operator that makes it")


class Measurement(NamedTuple):
    """What is observed of the examples of a data set: how, and by which operator."""

    observe: Observe
    operator: Operator


def observed(operator: Operator, std: float = 0.0) -> Observe:
    """Return the observation y = A(x) + std xi of images x, with xi standard normal."""

    def observe(x: Points, keys: Keys) -> tuple[Points, Condition]:
        mask = operator.draw(fold(keys, 0), x)
        y = operator.forward(x, mask)
        condition = Condition(y, mask, _seeds(keys))
        return x, condition._replace(y=y + std * seen(normal(fold(keys, 1), y), condition)) if std else condition

    return observe


def paired(channels: int) -> Observe:
    """Return the observation of examples [batch, H, W, C + k] that hold x in the first `channels` channels, and y in the others."""

    def observe(pairs: Examples, keys: Keys) -> tuple[Points, Condition]:
        return pairs[..., :channels], Condition(pairs[..., channels:], None, _seeds(keys))

    return observe


def _seeds(keys: Keys) -> jax.Array:
    return jax.vmap(jax.random.bits)(fold(keys, 2))
