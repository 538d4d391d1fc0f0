"""A network as two pure functions. Modules outside nets/ use flax through this type only."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from sde_vae.types import Params, PRNGKey

Shape = tuple[int, ...]


class Network(NamedTuple):
    """Two pure functions: init(key) -> params, and apply(params, *inputs) -> output. Most networks take x and log_snr."""

    init: Callable[[PRNGKey], Params]
    apply: Callable[..., Any]


def network(module: nn.Module, shape: Shape, **more: Shape) -> Network:
    """Return the Network of a module of float32 inputs (x, log_snr). Shapes are without the batch; `more` names further inputs."""
    return mapping(module, shape, (), **more)


def mapping(module: nn.Module, *shapes: Shape, **more: Shape) -> Network:
    """Return the Network of a module of float32 inputs. Shapes are without the batch; `more` names the keyword inputs."""

    def init(key: PRNGKey) -> Params:
        inputs = [_example(shape) for shape in shapes]
        keywords: dict[str, Any] = {name: _example(shape) for name, shape in more.items()}
        return module.init(key, *inputs, **keywords)["params"]

    def apply(params: Params, *inputs: Any, **more: Any) -> Any:
        return module.apply({"params": params}, *inputs, **more)

    return Network(init, apply)


def _example(shape: Shape) -> jnp.ndarray:
    return jnp.zeros((1, *shape), jnp.float32)
