"""Distances between two batches of images [batch, H, W, C] on [0, 1]: one value per image, in float64.

All functions raise ValueError if the shapes differ. Nothing is broadcast.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

# SSIM's 11 x 11 Gaussian window, and its constants for a range of 1 (Wang et al. 2004, IEEE TIP 13(4), section III.C).
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def l2(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the Euclidean norm of the difference of each pair: [batch]. Its mean is reported in arXiv:2304.12141.

    >>> l2(np.zeros((1, 2, 2, 1)), np.ones((1, 2, 2, 1)))
    array([2.])
    """
    return np.sqrt(_squared_errors(x, y).sum(axis=1))


def mse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each pair: [batch]."""
    return _squared_errors(x, y).mean(axis=1)


def psnr(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the peak signal-to-noise ratio of each pair in dB, with a peak of 1: [batch].

    It is at most 100 dB, far above the rounding of 8-bit images. Equal images would otherwise make a mean infinite.
    """
    return -10 * np.log10(np.maximum(mse(x, y), 1e-10))


def ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the structural similarity of each pair (Wang et al. 2004, eq. 13): [batch].

    It is the mean over the channels and over the places where the whole window fits. Raises ValueError for images smaller than
    the window.
    """
    _same_shape(x, y)
    if min(x.shape[1:3]) < WINDOW:
        raise ValueError(f"expected images of at least {WINDOW} x {WINDOW} pixels for SSIM, got {x.shape[1:3]}")
    x, y = x.astype(np.float64), y.astype(np.float64)
    mu_x, mu_y = _window(x), _window(y)
    var_x, var_y = _window(x * x) - mu_x**2, _window(y * y) - mu_y**2
    cov = _window(x * y) - mu_x * mu_y
    luminance = (2 * mu_x * mu_y + C1) / (mu_x**2 + mu_y**2 + C1)
    structure = (2 * cov + C2) / (var_x + var_y + C2)
    return (luminance * structure).mean(axis=(1, 2, 3))


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of the mean of independent values; NaN for fewer than two.

    >>> standard_error(np.array([0.0, 2.0]))
    1.0
    """
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _window(a: np.ndarray) -> np.ndarray:
    """Return Gaussian means of a [batch, H, W, C] where the window fits: [batch, H - 10, W - 10, C]."""
    r = WINDOW // 2
    for axis in (1, 2):
        a = gaussian_filter1d(a, SIGMA, axis=axis, radius=r)
    return a[:, r:-r, r:-r]


def _squared_errors(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    _same_shape(x, y)
    return np.square(x.astype(np.float64) - y.astype(np.float64)).reshape(len(x), -1)


def _same_shape(x: np.ndarray, y: np.ndarray) -> None:
    if x.shape != y.shape:
        raise ValueError(f"expected two batches of one shape, got {x.shape} and {y.shape}")
