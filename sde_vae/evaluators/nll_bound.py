"""The evidence bound on the negative log-density of held-out arrays, in nats in the user's units, every term named."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from sde_vae.data.dataset import evenly_spaced
from sde_vae.evaluators.bits_per_dim import bounds, means
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.moments import MOST_DIMENSIONS, flat
from sde_vae.inference.bound import as_density


def nll_bound(context: EvalContext, draws: int = 16, fitted: int = 20_000) -> Iterator[tuple[str, float]]:
    """Yield the bounds of the models as they stand (beta = 1, likelihood weighting), in nats per example, whatever they were trained with.

    nll_bound/TERM                   -log of the density of p(z) p(x | z), the method; of p(x), for a model without a latent
    prior/nll_bound/TERM             of p(x), its pre-trained prior, which is another model
    shuffled/nll_bound/TERM          of the method, each example with the z of another one
    nll_bound/above_prior            the method's total less the prior's
    nll_bound/gain_over_shuffled     what an example's own z saves over that of another one, without the KL
    nll_bound/total_per_dimension    the total by the number of dimensions
    baseline/nll_bound/gaussian      -log of the density of a Gaussian with the mean and covariance of the training split, exact

    The density is of x in the user's units: a change of units moves every total by the same number, and leaves the differences. A density may
    exceed 1, so that totals may be negative. Each figure has its standard error over the examples.
    """
    test, scaling = context.data.test, context.data.scaling
    if scaling is None:
        raise TypeError("nll_bound is for arrays that are no images")
    volume = scaling.log_volume(test.shape[1:])
    found = dict(bounds(context, "nll_bound", as_density(volume), draws))
    yield from found.items()
    for end in ("", "_stderr"):
        yield f"nll_bound/total_per_dimension{end}", found[f"nll_bound/total{end}"] / np.prod(test.shape[1:])
    train = flat(evenly_spaced(context.data.train, fitted))
    if (gaussian := gaussian_nll(train, flat(test))) is not None:
        yield from means("baseline/nll_bound", {"gaussian": gaussian + volume})


def gaussian_nll(train: Float[np.ndarray, "n dim"], test: Float[np.ndarray, "m dim"]) -> Float[np.ndarray, " m"] | None:
    """Return -log N(x; mean, covariance of `train`) in nats of each of `test`; None where that covariance is singular, or too large.

    >>> float(gaussian_nll(np.array([[-1.0], [1.0]]), np.array([[0.0]]))[0])  # 1/2 log 2 pi
    0.9189385332046727
    """
    n, d = train.shape
    if d > min(n - 1, MOST_DIMENSIONS):
        return None
    centre = train.mean(axis=0, keepdims=True)
    covariance = (train - centre).T @ (train - centre) / n
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return None
    white = np.linalg.solve(root, (test - centre).T)
    return 0.5 * np.square(white).sum(axis=0) + np.log(np.diag(root)).sum() + 0.5 * d * np.log(2 * np.pi)
