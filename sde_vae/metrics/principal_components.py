"""Principal components, by scikit-learn: exact for small vectors, randomised for large ones."""

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import PCA

# The covariance of vectors of more entries takes too long.
EXACT_ENTRIES = 1024


def fit_pca(x: Float[np.ndarray, "n dim"], components: int) -> PCA | None:
    """Return the `components` principal components of x, or all it has; None where all rows are equal, which have none."""
    if not np.any(x != x[:1]):
        return None
    # Randomised for large vectors, with enough iterations to make no difference.
    solver = "covariance_eigh" if x.shape[1] <= EXACT_ENTRIES else "randomized"
    return PCA(min(components, *x.shape), svd_solver=solver, iterated_power=7, random_state=0).fit(x)
