"""What the posteriors q(z | x) of a set of images say of the latent: which of its dimensions are used, and how dependent they are.

Everywhere mean and log_var are [n, latent], the posterior of one image a row; figures are in nats.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from sde_vae.diffusion.gaussians import DiagGaussian

Codes = Float[np.ndarray, "n latent"]
PerDimension = Float[np.ndarray, "latent"]
PerImage = Float[np.ndarray, "n"]

# Of Burda et al. 2016.
ACTIVE = 0.01


def active(mean: Codes) -> np.ndarray:
    """Which units are: the variance over images of E[z_k | x] is above 0.01 (Burda et al. 2016, arXiv:1509.00519, section 5.2)."""
    return np.var(np.asarray(mean, np.float64), axis=0) > ACTIVE


def kl_per_dimension(mean: Codes, log_var: Codes) -> PerDimension:
    """KL(q(z_k | x) || N(0, 1)), the mean over the images: their sum is the KL of the whole latent."""
    return np.asarray(DiagGaussian(mean, log_var).kl_per_dimension(), np.float64).mean(axis=0)


def effective_dimensions(kl: PerDimension) -> float:
    """exp of the entropy of how the KL is shared out: m if m dimensions have equal parts and the others none; 0 without any KL."""
    shares = kl[kl > 0] / np.sum(kl[kl > 0])
    return float(np.exp(-np.sum(shares * np.log(shares)))) if len(shares) else 0.0


def gaussian_total_correlation(mean: Codes, log_var: Codes) -> float:
    """KL(q(z) || prod_k q(z_k)) of the aggregate posterior q(z) = E_x q(z | x), were it the Gaussian of its covariance.

    -1/2 log det of the correlations of Cov(mean) + diag(E[var]): it sees linear dependence only.
    """
    covariance = _moments(mean, log_var)
    deviations = np.sqrt(np.diag(covariance))
    return float(-0.5 * np.linalg.slogdet(covariance / np.outer(deviations, deviations))[1])


def gaussian_total_correlation_reference(mean: Codes, log_var: Codes) -> float:
    """What `gaussian_total_correlation` is on average for n images if the dimensions are independent, n being much larger than latent.

    latent (latent - 1) / 4n where the means have all of the variance (Bartlett 1950); in general the correlation of a pair
    has variance w_k w_l / n, with w the part of a dimension's variance that the means have, and the pairs' halves are summed.
    """
    part = 1 - np.exp(np.asarray(log_var, np.float64)).mean(axis=0) / np.diag(_moments(mean, log_var))
    return float((part.sum() ** 2 - np.sum(part**2)) / (4 * len(mean)))


def _moments(mean: Codes, log_var: Codes) -> Float[np.ndarray, "latent latent"]:
    mean = np.asarray(mean, np.float64)
    centred = mean - mean.mean(axis=0)[None, :]
    return centred.T @ centred / len(mean) + np.diag(np.exp(np.asarray(log_var, np.float64)).mean(axis=0))


class Bounds(NamedTuple):
    """Each one term an image: their means are the bounds."""

    lower: PerImage
    upper: PerImage


def total_correlation_bounds(mean: Codes, log_var: Codes, noise: Codes) -> Bounds:
    """Bounds, in expectation, of the total correlation of the true q(z), whatever its form; at least two images.

    With one z_i = mean_i + std_i noise_i an image, E log q(z) is bounded from above by taking for q(z_i) the mean of
    q(z_i | x_j) over all j, and from below by that over all j != i (Poole et al. 2019, arXiv:1905.06922);
    the same holds for each E log q(z_k). Wide posteriors make the bounds meet. They are about sum log(1 + chi / n) apart, or
    less, where the sum is over the joint and the margins, and chi = E[q(z | x) / q(z)] (2^latent, say): far apart they say that n
    images are too few.

    The minibatch-weighted estimate of arXiv:1802.04942 divides by the number N of training images too, in the joint and in
    every margin, which adds (latent - 1) log N: good for a gradient, not for a figure.
    """
    mean, log_var, noise = (np.asarray(a, np.float64) for a in (mean, log_var, noise))
    z = mean + np.exp(0.5 * log_var) * noise
    joint = np.zeros((len(z), len(z)))
    margins_all, margins_others = np.zeros(len(z)), np.zeros(len(z))
    for k in range(z.shape[1]):
        # [i, j]: log q(z_ik | x_j)
        square = np.square(z[:, k, None] - mean[None, :, k]) * np.exp(-log_var[None, :, k])
        margin = -0.5 * (square + log_var[None, :, k] + np.log(2 * np.pi))
        joint += margin
        margins_all += _log_mean(margin)
        margins_others += _log_mean_of_others(margin)
    return Bounds(_log_mean_of_others(joint) - margins_all, _log_mean(joint) - margins_others)


def _log_mean(log_q: Float[np.ndarray, "n n"]) -> PerImage:
    return logsumexp(log_q, axis=1) - np.log(len(log_q))


def _log_mean_of_others(log_q: Float[np.ndarray, "n n"]) -> PerImage:
    others = log_q.copy()
    np.fill_diagonal(others, -np.inf)
    return logsumexp(others, axis=1) - np.log(len(log_q) - 1)
