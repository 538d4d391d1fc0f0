"""config.task -> what is observed of an image."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from sde_vae.arrays import keys_of
from sde_vae.build.fields import BY_BAYES, ESTIMATORS, HAS_TASK, PAIRS
from sde_vae.build.nets import Shape, is_image
from sde_vae.data.operators.blur import GaussianBlur
from sde_vae.data.operators.colourisation import ToGrey
from sde_vae.data.operators.edges import SobelEdges
from sde_vae.data.operators.inpainting import HiddenBox, HiddenPixels, HiddenSquare
from sde_vae.data.operators.super_resolution import Downscaling
from sde_vae.errors import BadInput, choose
from sde_vae.methods.observation import (
    LinearOperator,
    Measurement,
    Observe,
    Operator,
    Paired,
    observed,
    paired,
)


def _downscaling(config: ConfigDict, shape: Shape) -> Operator:
    factor = config.task.factor
    if shape[0] % factor or shape[1] % factor:
        raise BadInput(
            f"config.task.factor: got {factor}, expected a divisor of the image's sides, {shape[0]} and {shape[1]}"
        )
    return Downscaling(factor)


def _to_grey(config: ConfigDict, shape: Shape) -> Operator:
    del config
    if shape[-1] != 3:
        raise BadInput(f"config.task.name: got colourisation, expected images with 3 channels; these have {shape[-1]}")
    return ToGrey()


# Each takes (config, the shape of x).
TASKS: dict[str, Callable[[ConfigDict, Shape], Operator]] = {
    "inpainting": lambda config, shape: HiddenSquare(config.task.share),
    "inpainting_box": lambda config, shape: HiddenBox(),
    "inpainting_pixels": lambda config, shape: HiddenPixels(config.task.share),
    "super_resolution": _downscaling,
    "colourisation": _to_grey,
    "deblurring": lambda config, shape: GaussianBlur(config.task.blur),
    "edges": lambda config, shape: SobelEdges(),
    PAIRS: lambda config, shape: Paired(),
}


def build_measurement(config: ConfigDict, shape: Shape) -> Measurement | None:
    """Return what config.task observes of images of this shape; None for a method that observes nothing."""
    _require_pairs(config)
    if not HAS_TASK.holds(config):
        return None
    if not is_image(shape):
        raise BadInput(
            f"config.method: got {config.method}, whose tasks are of images; these data have the shape {shape}"
        )
    operator = choose("config.task.name", config.task.name, TASKS)(config, shape)
    if config.task.name == PAIRS:
        return Measurement(paired(shape[-1]), operator)
    return Measurement(observed(operator, config.task.noise), operator)


def _require_pairs(config: ConfigDict) -> None:
    """Raise BadInput unless data and task are both pairs, or neither."""
    data, task = config.data.name, config.task.name if HAS_TASK.holds(config) else None
    if data == PAIRS and task is None:
        raise BadInput(
            f"config.method: got {config.method}, expected one with a task for config.data.name={PAIRS}: {', '.join((*ESTIMATORS, *BY_BAYES))}"
        )
    if data == PAIRS and task != PAIRS:
        raise BadInput(f"config.task.name: got {task}, expected {PAIRS}, as config.data.name is: y is given with x")
    if task == PAIRS and data != PAIRS:
        raise BadInput(f"config.data.name: got {data}, expected {PAIRS}, as config.task.name is: y is given with x")


def require_linear(config: ConfigDict, operator: Operator) -> LinearOperator:
    """Return the operator. Raises BadInput if it is not linear."""
    if not isinstance(operator, LinearOperator):
        linear = [name for name in TASKS if name not in ("edges", PAIRS)]
        raise BadInput(
            f"config.task.name: got {config.task.name}, expected a linear task for {config.method}: {', '.join(linear)}"
        )
    return operator


def condition_channels(observe: Observe, shape: Shape) -> tuple[int, int]:
    """Return (the channels of y, those of its mask) for examples of this shape."""
    y, mask = condition_shapes(observe, shape)
    return y[-1], 0 if mask is None else mask[-1]


def condition_shapes(observe: Observe, shape: Shape) -> tuple[Shape, Shape | None]:
    """Return (the shape of y, that of its mask or None) for examples of this shape."""
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    _, condition = jax.eval_shape(lambda x: observe(x, keys_of(jax.random.key(0), jnp.arange(1))), image)
    return condition.y.shape[1:], None if condition.mask is None else condition.mask.shape[1:]
