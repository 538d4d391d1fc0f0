"""A network as two pure functions: the one thing that floors above see of flax."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from sde_vae.types import Params, PRNGKey


class Network(NamedTuple):
    """init(key) -> params; apply(params, x, log_snr[, keys]) -> output."""

    init: Callable[[PRNGKey], Params]
    apply: Callable[..., Any]


def network(module: nn.Module, shape: tuple[int, ...]) -> Network:
    """`module` for examples of `shape` (without the batch), in float32."""

    def init(key: PRNGKey) -> Params:
        return module.init(key, jnp.zeros((1, *shape), jnp.float32), jnp.zeros((1,), jnp.float32))["params"]

    def apply(params: Params, *args: Any) -> Any:
        return module.apply({"params": params}, *args)

    return Network(init, apply)
