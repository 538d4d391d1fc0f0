"""LPIPS by the paper's protocol, with a stand-in for the network that depends on its input."""

import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.data.dataset import to_model
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.sdes import VP
from sde_vae.evaluators.context import EvalData, MetricNetworks, make_context
from sde_vae.evaluators.reconstruction import reconstruction
from sde_vae.inference.decoding import Decoder
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.stochastic import ancestral
from tests.helpers.exact import exact_model

SDE = VP(t_min=1e-3)
N, SHAPE = 24, (4, 4, 1)
# q(z | x_0) = N(x_0, SPREAD^2); z decodes to 1.5 z, much of which is outside of [-1, 1].
SPREAD, GAIN = 0.7, 1.5


def encode(x):
    mean = x.reshape(len(x), -1)
    return DiagGaussian(mean, jnp.full_like(mean, 2 * np.log(SPREAD)))


def likelihood(z):
    mean = GAIN * z.reshape(-1, *SHAPE)
    return DiagGaussian(mean, jnp.zeros_like(mean))


def score(z):
    """Of a point mass on what z decodes to: every trajectory ends there."""

    def at(x, t):
        a, s = (f(t)[:, None, None, None] for f in (SDE.alpha, SDE.sigma))
        return -(x - a * GAIN * z.reshape(x.shape)) / s**2

    return at


def shown(x, y):
    """Mean absolute difference of what LPIPS feeds its network, which is 2 x - 1."""
    return jnp.mean(jnp.abs((2 * x - 1) - (2 * y - 1)), axis=(1, 2, 3))


def evaluate(folder, **model):
    images = np.random.default_rng(0).integers(0, 256, (N, *SHAPE), dtype=np.uint8)
    decoder = Decoder(SDE, ancestral, uniform_log_snr(SDE, 20))
    held = EvalData("noise", "f" * 64, 256, images, images, to_model(images, 256))
    model = exact_model(decoder, encode=encode, **model)
    networks = MetricNetworks({"lpips_alex": shown}, None, {}, folder)
    return dict(
        reconstruction(make_context(model, held, networks, ResumeCache(folder / "parts", {}), 16, 0, 8, 0))
    ), held.test


def test_the_papers_lpips_sees_unit_images_unclipped_and_of_a_vae_the_mean(tmp_path):
    found, x = evaluate(tmp_path, likelihood=likelihood)
    each = np.abs((GAIN * x + 1) / 2 - (x + 1) / 2).mean(axis=(1, 2, 3))
    assert found["paper/lpips_alex"] == pytest.approx(each.mean(), rel=1e-5)
    assert found["paper/lpips_alex_stderr"] == pytest.approx(each.std(ddof=1) / np.sqrt(N), rel=1e-4)
    # Ours sees [-1, 1], clipped.
    clipped = np.abs(np.clip(GAIN * x, -1, 1) - x).mean()
    assert found["reconstruction_of_mean/lpips_alex"] == pytest.approx(clipped, rel=1e-5)


def test_the_papers_lpips_of_a_diffusion_model_is_of_one_sample(tmp_path):
    found, x = evaluate(tmp_path, score=score)
    of_mean = 0.5 * (GAIN - 1) * np.abs(x).mean()
    # E|c x + GAIN SPREAD n / 2| over n ~ N(0, 1), by quadrature; the sample's own error is its only tolerance.
    n, w = np.polynomial.hermite_e.hermegauss(64)
    values = np.abs(0.5 * (GAIN - 1) * x[..., None] + 0.5 * GAIN * SPREAD * n)
    expected = (values @ (w / w.sum())).mean()
    assert abs(found["paper/lpips_alex"] - expected) < 4 * found["paper/lpips_alex_stderr"]
    assert found["paper/lpips_alex"] > of_mean + 10 * found["paper/lpips_alex_stderr"]
