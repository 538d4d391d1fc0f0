"""Distances between images, by hand and against scikit-image."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from sde_vae.metrics.image import distances as metrics


def pair(shape, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, shape).astype(np.float32)
    return x, np.clip(x + 0.2 * rng.standard_normal(shape), 0, 1).astype(np.float32)


def test_a_case_done_by_hand():
    x, y = np.zeros((2, 2, 2, 1)), np.zeros((2, 2, 2, 1))
    x[0, 0, 0, 0], x[1] = 0.5, 1.0
    np.testing.assert_allclose(metrics.l2(x, y), [0.5, 2.0])
    np.testing.assert_allclose(metrics.mse(x, y), [0.0625, 1.0])
    np.testing.assert_allclose(metrics.psnr(x, y), [40 * np.log10(2), 0], atol=1e-12)
    np.testing.assert_allclose(metrics.standard_error(np.array([1.0, 3.0])), 1.0)


@pytest.mark.parametrize("shape", [(3, 28, 28, 1), (2, 32, 24, 3), (1, 11, 11, 1)])
def test_ssim_and_psnr_are_those_of_scikit_image(shape):
    x, y = pair(shape)
    theirs = [
        structural_similarity(
            a.astype(np.float64),
            b.astype(np.float64),
            channel_axis=-1,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(metrics.ssim(x, y), theirs, atol=1e-9)
    np.testing.assert_allclose(metrics.ssim(x, x), 1.0, atol=1e-12)
    psnr = [peak_signal_noise_ratio(a.astype(np.float64), b, data_range=1.0) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(metrics.psnr(x, y), psnr, rtol=1e-6)
    np.testing.assert_allclose(metrics.psnr(x, x), 100)


@pytest.mark.parametrize("metric", [metrics.l2, metrics.mse, metrics.psnr, metrics.ssim])
def test_nothing_is_broadcast(metric):
    x, y = pair((2, 12, 12, 1))
    with pytest.raises(ValueError, match="one shape"):
        metric(x, y[:1])


def test_ssim_needs_room_for_its_window():
    with pytest.raises(ValueError, match="at least 11 x 11"):
        metrics.ssim(*pair((1, 8, 8, 1)))
