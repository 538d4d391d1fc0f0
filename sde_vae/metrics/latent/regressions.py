"""Regressions of pixels on z: how well z alone predicts an image, independently of the model's decoder."""

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

Codes = Float[np.ndarray, "n latent"]
Pixels = Float[np.ndarray, "n pixels"]
TestCodes = Float[np.ndarray, "m latent"]
Predictions = Float[np.ndarray, "m pixels"]

RIDGE = 1.0
# Candidates for the kernel exp(-gamma |z - z'|^2 / latent) of standardised z. The last third of the training images selects the
# best, which is then fitted to all of them.
GAMMAS, RIDGES = (0.4, 1.0, 2.0, 4.0, 8.0), (0.03, 0.1, 0.3, 1.0)


def linear(train_z: Codes, train_x: Pixels, z: TestCodes) -> Predictions:
    """Return the predictions of ridge regression, the best affine decoder: [m, pixels]."""
    return make_pipeline(StandardScaler(), Ridge(RIDGE)).fit(train_z, train_x).predict(z)


def quadratic(train_z: Codes, train_x: Pixels, z: TestCodes) -> Predictions:
    """Return the predictions of a ridge regression on z and its squares, without products: [m, pixels].

    The gradient in x of a diagonal Gaussian's log q(z | x) has this form in z.
    """
    squares = FunctionTransformer(lambda z: np.concatenate([z, np.square(z)], axis=1))
    return make_pipeline(StandardScaler(), squares, Ridge(RIDGE)).fit(train_z, train_x).predict(z)


def kernel(train_z: Codes, train_x: Pixels, z: TestCodes) -> Predictions:
    """Return the predictions of Gaussian kernel ridge regression, any smooth function of z: [m, pixels]."""
    cut = 2 * len(train_z) // 3

    def fitted(gamma: float, ridge: float, n: int) -> Callable[[TestCodes], Predictions]:
        model = make_pipeline(StandardScaler(), KernelRidge(alpha=ridge, kernel="rbf", gamma=gamma / train_z.shape[1]))
        mean = train_x[:n].mean(axis=0)
        with warnings.catch_warnings():
            # The warning of a nearly singular kernel matrix, which least squares then solves.
            warnings.simplefilter("ignore")
            model.fit(train_z[:n], train_x[:n] - mean)
        return lambda z: model.predict(z) + mean

    def held_out_error(pair: tuple[float, float]) -> float:
        gamma, ridge = pair
        return float(np.mean((fitted(gamma, ridge, cut)(train_z[cut:]) - train_x[cut:]) ** 2))

    gamma, ridge = min(((g, r) for g in GAMMAS for r in RIDGES), key=held_out_error)
    return fitted(gamma, ridge, len(train_z))(z)


REGRESSIONS = {"linear": linear, "quadratic": quadratic, "kernel": kernel}
