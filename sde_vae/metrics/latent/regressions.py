"""How much of an image a latent tells: the error of predicting pixels from z alone, whatever the model itself makes of z."""

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
Others = Float[np.ndarray, "m latent"]
Theirs = Float[np.ndarray, "m pixels"]

RIDGE = 1.0
# Of the kernel exp(-gamma |z - z'|^2 / latent), z standardised; the best on the last third of the training images is fitted to all of them.
GAMMAS, RIDGES = (0.4, 1.0, 2.0, 4.0, 8.0), (0.03, 0.1, 0.3, 1.0)


def linear(train_z: Codes, train_x: Pixels, z: Others) -> Theirs:
    """The best affine prediction, E[x_0 | z] of a linear decoder."""
    return make_pipeline(StandardScaler(), Ridge(RIDGE)).fit(train_z, train_x).predict(z)


def quadratic(train_z: Codes, train_x: Pixels, z: Others) -> Theirs:
    """Squares too, but no products: all that the gradient in x of a diagonal Gaussian's log q(z | x) can be in z."""
    squares = FunctionTransformer(lambda z: np.concatenate([z, np.square(z)], axis=1))
    return make_pipeline(StandardScaler(), squares, Ridge(RIDGE)).fit(train_z, train_x).predict(z)


def kernel(train_z: Codes, train_x: Pixels, z: Others) -> Theirs:
    """Gaussian kernel ridge regression: any smooth function of z."""
    cut = 2 * len(train_z) // 3

    def fitted(gamma: float, ridge: float, n: int) -> Callable[[Others], Theirs]:
        model = make_pipeline(StandardScaler(), KernelRidge(alpha=ridge, kernel="rbf", gamma=gamma / train_z.shape[1]))
        middle = train_x[:n].mean(axis=0)
        with warnings.catch_warnings():
            # Of a nearly singular kernel matrix; then least squares solves it.
            warnings.simplefilter("ignore")
            model.fit(train_z[:n], train_x[:n] - middle)
        return lambda z: model.predict(z) + middle

    held_out = lambda pair: float(np.mean((fitted(pair[0], pair[1], cut)(train_z[cut:]) - train_x[cut:]) ** 2))
    best = min(((g, r) for g in GAMMAS for r in RIDGES), key=held_out)
    return fitted(best[0], best[1], len(train_z))(z)


REGRESSIONS = {"linear": linear, "quadratic": quadratic, "kernel": kernel}
