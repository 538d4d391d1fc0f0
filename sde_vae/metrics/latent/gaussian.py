"""The Gaussian with the moments of the aggregate posterior q(z) = E_x q(z | x), the simplest latent prior fitted to an encoder.

For posteriors N(m_i, diag(v_i)) of n images, q(z) is a mixture. The law of total variance gives its moments exactly:

    E z = mean of m_i,        Cov z = covariance of m_i (over n, not n - 1) + diag(mean of v_i)
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class LatentGaussian(NamedTuple):
    """N(mean, covariance), in float64."""

    mean: Float[np.ndarray, "latent"]
    covariance: Float[np.ndarray, "latent latent"]

    @property
    def std(self) -> Float[np.ndarray, "latent"]:
        """The standard deviation of each dimension."""
        return np.sqrt(np.diag(self.covariance))

    def sample(self, rng: np.random.Generator, n: int) -> Float[np.ndarray, "n latent"]:
        """Return n draws, float32 [n, latent]. The covariance may be singular."""
        values, vectors = np.linalg.eigh(self.covariance)
        # Rounding may make eigenvalues of zero negative.
        widths = np.sqrt(np.maximum(values, 0))
        noise = rng.standard_normal((n, len(self.mean)))
        return (self.mean[None] + (noise * widths[None]) @ vectors.T).astype(np.float32)


def fit(mean: Float[np.ndarray, "n latent"], log_var: Float[np.ndarray, "n latent"]) -> LatentGaussian:
    """Return the Gaussian of the aggregate posterior, from the posteriors of n images: mean and log_var are [n, latent]."""
    m = np.asarray(mean, np.float64)
    centred = m - m.mean(axis=0)[None]
    within = np.exp(np.asarray(log_var, np.float64)).mean(axis=0)
    return LatentGaussian(m.mean(axis=0), centred.T @ centred / len(m) + np.diag(within))


def standard(latent: int) -> LatentGaussian:
    """Return N(0, I), the prior p(z) of the bound."""
    return LatentGaussian(np.zeros(latent), np.eye(latent))
