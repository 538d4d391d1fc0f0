"""Statistics of the posteriors q(z | x) of a set of images: active units, KL per dimension and total correlation.

In all functions mean and log_var are [n, latent], with the posterior of one image in a row. Results are in nats.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from sde_vae.diffusion.gaussians import DiagGaussian

Codes = Float[np.ndarray, "n latent"]
PerDimension = Float[np.ndarray, "latent"]
PerImage = Float[np.ndarray, "n"]

# The least variance of an active unit (Burda et al. 2016).
ACTIVE = 0.01


def active(mean: Codes) -> np.ndarray:
    """Return whether each unit is active: whether the variance of E[z_k | x] over images exceeds 0.01. [latent].

    The criterion is that of Burda et al. 2016, arXiv:1509.00519, section 5.2.

    >>> active(np.array([[0.0, 1.0], [0.0, -1.0]])).tolist()
    [False, True]
    """
    return np.var(np.asarray(mean, np.float64), axis=0) > ACTIVE


def kl_per_dimension(mean: Codes, log_var: Codes) -> PerDimension:
    """Return KL(q(z_k | x) || N(0, 1)) averaged over the images: [latent]. The sum is the KL of the whole latent."""
    return np.asarray(DiagGaussian(jnp.asarray(mean), jnp.asarray(log_var)).kl_per_dimension(), np.float64).mean(axis=0)


def effective_dimensions(kl: PerDimension) -> float:
    """Return exp of the entropy of the dimensions' shares of the KL; 0 if the KL is 0.

    The result is m if m dimensions have equal shares and the others none.

    >>> effective_dimensions(np.array([1.0, 1.0, 0.0]))
    2.0
    """
    shares = kl[kl > 0] / np.sum(kl[kl > 0])
    return float(np.exp(-np.sum(shares * np.log(shares)))) if len(shares) else 0.0


def gaussian_total_correlation(mean: Codes, log_var: Codes) -> float:
    """Return the total correlation KL(q(z) || prod_k q(z_k)) of the Gaussian with the covariance of q(z) = E_x q(z | x).

    It is -1/2 log det of the correlation matrix of Cov(mean) + diag(E[var]), and measures linear dependence only.
    """
    covariance = _moments(mean, log_var)
    deviations = np.sqrt(np.diag(covariance))
    # Of independent dimensions it is 0 up to rounding, of either sign.
    return max(0.0, float(-0.5 * np.linalg.slogdet(covariance / np.outer(deviations, deviations))[1]))


def gaussian_total_correlation_reference(mean: Codes, log_var: Codes) -> float:
    """Return the mean of `gaussian_total_correlation` for n images if the dimensions are independent, for n >> latent.

    If the means have all of the variance it is latent (latent - 1) / 4n (Bartlett 1950). In general the correlation of a pair
    has variance w_k w_l / n, where w is the share of the means in a dimension's variance. The result is half the sum over pairs.
    """
    part = 1 - np.exp(np.asarray(log_var, np.float64)).mean(axis=0) / np.diag(_moments(mean, log_var))
    return float((part.sum() ** 2 - np.sum(part**2)) / (4 * len(mean)))


def _moments(mean: Codes, log_var: Codes) -> Float[np.ndarray, "latent latent"]:
    mean = np.asarray(mean, np.float64)
    centred = mean - mean.mean(axis=0)[None, :]
    return centred.T @ centred / len(mean) + np.diag(np.exp(np.asarray(log_var, np.float64)).mean(axis=0))


class Bounds(NamedTuple):
    """One term of each bound for each image: [n]. The bounds are their means."""

    lower: PerImage
    upper: PerImage


def total_correlation_bounds(mean: Codes, log_var: Codes, noise: Codes) -> Bounds:
    """Return bounds, in expectation, of the total correlation of the true q(z), from at least two images.

    With one z_i = mean_i + std_i noise_i per image, the mean of q(z_i | x_j) over all j, in place of q(z_i), gives an upper bound
    of E log q(z). The mean over all j != i gives a lower bound (Poole et al. 2019, arXiv:1905.06922). The same holds for each
    E log q(z_k).

    The bounds are close for wide posteriors. They differ by about sum log(1 + chi / n) at most, where the sum is over the joint
    and the marginals, and chi = E[q(z | x) / q(z)] (for example 2^latent). A large difference means that n images are too few.

    The minibatch-weighted estimate of arXiv:1802.04942 also divides by the number N of training images, in the joint and in every
    marginal. That adds (latent - 1) log N, which is harmless for a gradient but not for a reported value.
    """
    mean, log_var, noise = (np.asarray(a, np.float64) for a in (mean, log_var, noise))
    z = mean + np.exp(0.5 * log_var) * noise
    joint = np.zeros((len(z), len(z)))
    marginals_all, marginals_others = np.zeros(len(z)), np.zeros(len(z))
    for k in range(z.shape[1]):
        # [i, j]: log q(z_ik | x_j)
        square = np.square(z[:, k, None] - mean[None, :, k]) * np.exp(-log_var[None, :, k])
        marginal = -0.5 * (square + log_var[None, :, k] + np.log(2 * np.pi))
        joint += marginal
        marginals_all += _log_mean(marginal)
        marginals_others += _log_mean_of_others(marginal)
    return Bounds(_log_mean_of_others(joint) - marginals_all, _log_mean(joint) - marginals_others)


def _log_mean(log_q: Float[np.ndarray, "n n"]) -> PerImage:
    return logsumexp(log_q, axis=1) - np.log(len(log_q))


def _log_mean_of_others(log_q: Float[np.ndarray, "n n"]) -> PerImage:
    others = log_q.copy()
    np.fill_diagonal(others, -np.inf)
    return logsumexp(others, axis=1) - np.log(len(log_q) - 1)
