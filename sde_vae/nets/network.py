"""A network as two pure functions: the one thing that floors above see of flax."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from sde_vae.types import Params, PRNGKey

Shape = tuple[int, ...]


class Network(NamedTuple):
    """init(key) -> params; apply(params, *inputs) -> output. The inputs of most are x and log_snr."""

    init: Callable[[PRNGKey], Params]
    apply: Callable[..., Any]


def network(module: nn.Module, shape: Shape, **more: Shape) -> Network:
    """`module` of (x, log_snr), x of `shape` (without the batch), float32; `more` names other inputs, and says their shapes."""
    return mapping(module, shape, (), **more)


def mapping(module: nn.Module, *shapes: Shape, **more: Shape) -> Network:
    """`module` of inputs of these shapes (without the batch), float32."""

    def init(key: PRNGKey) -> Params:
        inputs = [_one(shape) for shape in shapes]
        return module.init(key, *inputs, **{name: _one(shape) for name, shape in more.items()})["params"]

    def apply(params: Params, *inputs: Any, **more: Any) -> Any:
        return module.apply({"params": params}, *inputs, **more)

    return Network(init, apply)


def _one(shape: Shape) -> jnp.ndarray:
    return jnp.zeros((1, *shape), jnp.float32)
