"""A Method is a handful of pure functions: what a training loop, a solver and an evaluator need to know of it.

`params` are what the method trains; `frozen` is whatever it stands on and must not change (for ScoreVAE the parameters of the
prior, for ScoreVAE+ those of the prior and of the encoder). Freezing is which argument is differentiated: nothing else keeps them
apart.
"""

from collections.abc import Callable
from typing import NamedTuple

from sde_vae.gaussians import DiagGaussian
from sde_vae.types import Batch, Latents, Metrics, Params, Points, PRNGKey, Scalar, ScoreFn


class Method(NamedTuple):
    """init(key) -> params
    loss(params, frozen, key, batch) -> (scalar, metrics)     mean over the batch; metrics name its terms
    encode(params, frozen, x) -> q(z | x_0 = x)               None for a method without a latent
    score(params, frozen, z) -> ScoreFn                       what solvers integrate and bounds bound; z is None without a latent
    likelihood(params, frozen, z) -> p(x_0 | z)               of a method that decodes at once

    One of the last two is None.
    """

    init: Callable[[PRNGKey], Params]
    loss: Callable[[Params, Params, PRNGKey, Batch], tuple[Scalar, Metrics]]
    encode: Callable[[Params, Params, Points], DiagGaussian] | None
    score: Callable[[Params, Params, Latents | None], ScoreFn] | None
    likelihood: Callable[[Params, Params, Latents], DiagGaussian] | None = None
