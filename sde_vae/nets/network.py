"""A network as two pure functions. Modules outside nets/ use flax through this type only.

`precision` is that of the products of float32 arrays, as jax.default_matmul_precision names it: "highest" computes them in float32 on
every device, where by default a TPU rounds their factors to bfloat16 and a recent GPU to TF32; "default" takes what the device has.
Products of bfloat16 arrays are unaffected.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.core import Tracer

from sde_vae.types import Params, PRNGKey

Shape = tuple[int, ...]


class Network(NamedTuple):
    """Two pure functions: init(key) -> params, and apply(params, *inputs) -> output. Most networks take x and log_snr."""

    init: Callable[[PRNGKey], Params]
    apply: Callable[..., Any]


def network(module: nn.Module, shape: Shape, precision: str = "highest", **more: Shape) -> Network:
    """Return the Network of a module of float32 inputs (x, log_snr). Shapes are without the batch; `more` names further inputs."""
    return mapping(module, shape, (), precision=precision, **more)


def mapping(module: nn.Module, *shapes: Shape, precision: str = "highest", **more: Shape) -> Network:
    """Return the Network of a module of float32 inputs. Shapes are without the batch; `more` names the keyword inputs."""
    inputs = [_example(shape) for shape in shapes]
    keywords = {name: _example(shape) for name, shape in more.items()}

    def init(key: PRNGKey) -> Params:
        found: dict[str, Any] = {}

        def initialise(inputs: Any, keywords: Any) -> None:
            found.update(module.init(key, *inputs, **keywords))

        def eagerly(inputs: Any, keywords: Any) -> None:
            with jax.ensure_compile_time_eval():
                initialise(inputs, keywords)

        if isinstance(key, Tracer):
            initialise(*jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), (inputs, keywords)))
        else:
            # Activations have shapes only. Parameters depend on the key alone: they are computed at once, and kept in `found`.
            jax.eval_shape(eagerly, inputs, keywords)
        return found["params"]

    def apply(params: Params, *inputs: Any, **more: Any) -> Any:
        with jax.default_matmul_precision(precision):
            return module.apply({"params": params}, *inputs, **more)

    return Network(init, apply)


def reshaped(network: Network, shape: Shape) -> Network:
    """Return the network with its output [batch, n] as [batch, *shape]."""
    return Network(
        network.init,
        lambda params, *inputs, **more: network.apply(params, *inputs, **more).reshape(-1, *shape),
    )


def _example(shape: Shape) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, *shape), jnp.float32)
