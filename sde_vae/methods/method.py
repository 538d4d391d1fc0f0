"""A method as a few pure functions, which the training loop, the solvers and the evaluators call.

`params` are the parameters that the method trains. `frozen` holds those that it depends on and does not change, by the name of
the stage that trained them: {"prior": ...} for ScoreVAE, {"prior": ..., "encoder": ...} for ScoreVAE+. Parameters are frozen
because they are not in the differentiated argument.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import jax

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.types import Batch, Frozen, Labels, Latents, Metrics, Params, Points, PRNGKey, Scalar, ScoreFn

Function = TypeVar("Function")


class Method(NamedTuple):
    """The pure functions of one method. All but `init` and `loss` are None where a method lacks them.

    init(key) -> params
    loss(params, frozen, key, batch) -> (scalar, metrics)     mean over the batch; metrics name its terms
    encode(params, frozen, x) -> q(z | x_0 = x)               of a method with a latent
    score(params, frozen, z) -> ScoreFn                       of x given z, a latent or a Condition: what solvers integrate and bounds bound
    likelihood(params, frozen, z) -> p(x_0 | z)               of a method that decodes in one pass, instead of a score
    unconditional(params, frozen) -> ScoreFn                  of x alone, of a method with a diffusion prior
    labelled(params, frozen, label) -> ScoreFn                of x given its class, of a method whose prior was trained on labels
    """

    init: Callable[[PRNGKey], Params]
    loss: Callable[[Params, Frozen, PRNGKey, Batch], tuple[Scalar, Metrics]]
    encode: Callable[[Params, Frozen, Points], DiagGaussian] | None = None
    score: Callable[[Params, Frozen, Any], ScoreFn] | None = None
    likelihood: Callable[[Params, Frozen, Latents], DiagGaussian] | None = None
    unconditional: Callable[[Params, Frozen], ScoreFn] | None = None
    labelled: Callable[[Params, Frozen, Labels], ScoreFn] | None = None


@lru_cache(maxsize=32)
def abstract_params(method: Method) -> Params:
    """Return the shapes and types of the parameters of a method. Nothing is allocated, and a method is traced once only."""
    return jax.eval_shape(method.init, jax.random.key(0))


def required(function: Function | None, name: str) -> Function:
    """Return one of a method's optional functions. Raises TypeError, with its name, for a method that lacks it.

    >>> required(None, "score")
    Traceback (most recent call last):
    TypeError: this method has no function score
    """
    if function is None:
        raise TypeError(f"this method has no function {name}")
    return function
