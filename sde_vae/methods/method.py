"""A method is a handful of pure functions: what a training loop, a solver and an evaluator need to know of it.

`params` are what the method trains. `frozen` holds the parameters that it depends on and must not change, by the name of the
stage that trained them: {"prior": ...} for ScoreVAE, {"prior": ..., "encoder": ...} for ScoreVAE+. Freezing is which argument is
differentiated: nothing else keeps them apart.
"""

from collections.abc import Callable
from typing import NamedTuple

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.types import Batch, Frozen, Latents, Metrics, Params, Points, PRNGKey, Scalar, ScoreFn


class Method(NamedTuple):
    """Hold the pure functions of one method. All but `init` and `loss` are None where a method lacks them.

    init(key) -> params
    loss(params, frozen, key, batch) -> (scalar, metrics)     mean over the batch; metrics name its terms
    encode(params, frozen, x) -> q(z | x_0 = x)               of a method with a latent
    score(params, frozen, z) -> ScoreFn                       of x given z: what solvers integrate and bounds bound
    likelihood(params, frozen, z) -> p(x_0 | z)               of a method that decodes in one pass, instead of a score
    unconditional(params, frozen) -> ScoreFn                  of x alone, of a method with a diffusion prior
    """

    init: Callable[[PRNGKey], Params]
    loss: Callable[[Params, Frozen, PRNGKey, Batch], tuple[Scalar, Metrics]]
    encode: Callable[[Params, Frozen, Points], DiagGaussian] | None = None
    score: Callable[[Params, Frozen, Latents], ScoreFn] | None = None
    likelihood: Callable[[Params, Frozen, Latents], DiagGaussian] | None = None
    unconditional: Callable[[Params, Frozen], ScoreFn] | None = None
