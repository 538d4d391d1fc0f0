"""How well draws of x given y represent a Gaussian posterior that is known, as in worlds where p(x | y) has a closed form."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sde_vae.metrics.sets.sliced_wasserstein import random_directions, sliced_wasserstein

DIRECTIONS = 256


class PosteriorFidelity(NamedTuple):
    """Distances of draws to a posterior, each 0 for infinitely many draws from it.

    mean                 Euclidean distance of the means, over the posterior's own size, the root of its covariance's trace
    covariance           Frobenius distance of the covariances, over the norm of the posterior's
    sliced_wasserstein   distance to as many exact draws, over the same size times 1 / sqrt(dim)
    """

    mean: float
    covariance: float
    sliced_wasserstein: float


def posterior_fidelity(
    draws: Float[np.ndarray, "n dim"],
    mean: Float[np.ndarray, " dim"],
    covariance: Float[np.ndarray, "dim dim"],
    rng: np.random.Generator,
) -> PosteriorFidelity:
    """Return the distances of draws to N(mean, covariance).

    Draws of finite number have distances above 0 even when they are exact; take those of `exact_draws` as the reference.

    >>> rng = np.random.default_rng(0)
    >>> exact = exact_draws(np.zeros(2), np.eye(2), 20_000, rng)
    >>> posterior_fidelity(exact + np.array([np.sqrt(2), 0.0]), np.zeros(2), np.eye(2), rng).mean.__round__(2)
    1.0
    """
    size = np.sqrt(np.trace(covariance))
    far = np.linalg.norm(draws.mean(axis=0) - mean)
    spread = np.linalg.norm(np.cov(draws.T) - covariance) / np.linalg.norm(covariance)
    exact = exact_draws(mean, covariance, len(draws), rng)
    sliced = sliced_wasserstein(draws, exact, random_directions(rng, DIRECTIONS, len(mean))).value
    return PosteriorFidelity(float(far / size), float(spread), sliced * np.sqrt(len(mean)) / float(size))


def exact_draws(
    mean: Float[np.ndarray, " dim"], covariance: Float[np.ndarray, "dim dim"], n: int, rng: np.random.Generator
) -> Float[np.ndarray, "n dim"]:
    """Return n draws from N(mean, covariance). A covariance of less than full rank is allowed."""
    values, vectors = np.linalg.eigh(covariance)
    return mean + rng.standard_normal((n, len(mean))) * np.sqrt(np.clip(values, 0, None)) @ vectors.T
