"""The Gaussian with the moments of the aggregate posterior q(z) = E_x q(z | x): the simplest latent prior that knows the encoder.

With posteriors N(m_i, diag(v_i)) of n images, q(z) is a mixture, and the law of total variance gives its moments exactly:

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
        """Of each dimension by itself."""
        return np.sqrt(np.diag(self.covariance))

    def sample(self, rng: np.random.Generator, n: int) -> Float[np.ndarray, "n latent"]:
        """n draws, float32. A singular covariance is no obstacle: nothing is drawn where it has no width."""
        values, vectors = np.linalg.eigh(self.covariance)
        # Eigenvalues that are zero may come out a little below.
        widths = np.sqrt(np.maximum(values, 0))
        noise = rng.standard_normal((n, len(self.mean)))
        return (self.mean[None] + (noise * widths[None]) @ vectors.T).astype(np.float32)


def fit(mean: Float[np.ndarray, "n latent"], log_var: Float[np.ndarray, "n latent"]) -> LatentGaussian:
    """Of the posteriors of n images, one a row."""
    m = np.asarray(mean, np.float64)
    centred = m - m.mean(axis=0)[None]
    within = np.exp(np.asarray(log_var, np.float64)).mean(axis=0)
    return LatentGaussian(m.mean(axis=0), centred.T @ centred / len(m) + np.diag(within))


def standard(latent: int) -> LatentGaussian:
    """N(0, I): what the KL term pulls the posteriors to."""
    return LatentGaussian(np.zeros(latent), np.eye(latent))
