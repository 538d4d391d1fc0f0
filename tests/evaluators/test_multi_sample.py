"""Means of several decodings, and the bound of what decodes at once, where both have closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.bounds.discretised import discretised
from sde_vae.data.dataset import to_model, to_unit
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.sdes import VP
from sde_vae.evaluators.bits_per_dim import bits_per_dim
from sde_vae.evaluators.context import EvalData, MetricNetworks, make_context
from sde_vae.evaluators.multi_sample import denoise_in_one_step, multi_sample
from sde_vae.evaluators.set_distances import to_bytes
from sde_vae.inference.aggregate_posterior import sample_posterior
from sde_vae.inference.decoding import Decoder
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.metrics.sets.extractors import Extractor
from sde_vae.metrics.sets.frechet import frechet_distance, moments
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.stochastic import ancestral
from tests.helpers.exact import exact_model

SDE = VP(t_min=1e-3)
# x_0 ~ N(0, V), z ~ N(x_0, S^2) pixel by pixel, so x_0 | z ~ N(GAIN z, V (1 - GAIN)).
V, S = 0.05, 0.2
GAIN = V / (V + S**2)
N, SHAPE = 512, (4, 4, 1)


def encode(x):
    mean = x.reshape(len(x), -1)
    return DiagGaussian(mean, jnp.full_like(mean, 2 * np.log(S)))


def score(z):
    """Of x_t given z, exact."""

    def at(x, t):
        a, s = (f(t)[:, None, None, None] for f in (SDE.alpha, SDE.sigma))
        return -(x - a * GAIN * z.reshape(x.shape)) / (a**2 * V * (1 - GAIN) + s**2)

    return at


def likelihood(z):
    mean = 0.5 * jnp.tanh(z).reshape(-1, *SHAPE)
    return DiagGaussian(mean, jnp.full_like(mean, -3.0))


def flat(images):
    return np.asarray(images, np.float32).reshape(len(images), -1) / 255


def context(folder, extractor=None, **model):
    images = np.sqrt(V) * np.random.default_rng(0).standard_normal((N, *SHAPE))
    images = np.clip(np.round((images + 1) / 2 * 255), 0, 255).astype(np.uint8)
    decoder = Decoder(SDE, ancestral, uniform_log_snr(SDE, 100))
    held = EvalData("flat", "f" * 64, 256, images, images, to_model(images, 256))
    model = {"encode": encode} | model
    return make_context(
        exact_model(decoder, **model),
        held,
        MetricNetworks({}, extractor, {}, folder),
        ResumeCache(folder / "parts", {}),
        16,
        8,
        256,
        0,
    )


def test_an_average_pays_the_variance_of_what_is_drawn_once_in_k(tmp_path):
    K = 8
    found = dict(multi_sample(context(tmp_path, score=score), decodings=K))
    # (GAIN - 1) x_0 stays; GAIN S n + sqrt(V (1 - GAIN)) e is averaged. On [0, 1], so a quarter of it.
    for_one = GAIN**2 * S**2 + V * (1 - GAIN)
    expected = 0.25 * ((1 - GAIN) ** 2 * V + for_one / K)
    assert abs(found["multi_sample_mean/mse"] - expected) < 4 * found["multi_sample_mean/mse_stderr"]
    # A single draw would not pass for it.
    assert 0.25 * for_one > expected + 20 * found["multi_sample_mean/mse_stderr"]


def test_of_k_decodings_together_a_distance_pays_less_of_what_is_drawn(tmp_path):
    """Decodings of the exact p(x_0 | z) are at no distance from the originals, but for there being so few. Those of its mean are, by
    (sd of GAIN z - sd of x_0)^2 a pixel, and of K of them it is hardly less.
    """
    extractor = Extractor("flat", 16, flat, "0", "1", False)
    exact = context(tmp_path / "exact", extractor, score=score)
    mean = lambda z: DiagGaussian(GAIN * z.reshape(-1, *SHAPE), jnp.full((len(z), *SHAPE), -3.0))
    blurred = context(tmp_path / "blurred", extractor, likelihood=mean)

    def of_one_and_of_all(s):
        index = np.arange(N, dtype=np.int32)
        z = sample_posterior(s.encode(s.data.test), np.random.default_rng(0))
        one, test = (moments(flat(to_bytes(to_unit(x)))) for x in (s.decode(z, index, "one"), s.data.test))
        return frechet_distance(one, test), dict(multi_sample(s))["multi_sample/fd_flat"]

    of_one, of_all = of_one_and_of_all(exact)
    assert 0 < of_all < 0.6 * of_one
    of_one, of_all = of_one_and_of_all(blurred)
    apart = 16 * 0.25 * V * (1 - np.sqrt(GAIN)) ** 2
    assert abs(of_all - apart) < 0.1 * apart
    assert 0.9 * of_one < of_all < of_one


def test_one_step_is_the_conditional_mean(tmp_path):
    """E[x_0 | x_T = 0, z], of which x_T = 0 is evidence too, of weight alpha^2 / sigma^2."""
    s = context(tmp_path, score=score)
    z = np.random.default_rng(1).standard_normal((N, 16)).astype(np.float32)
    weight = float(jnp.exp(SDE.log_snr(jnp.ones(1)))[0]) * V * (1 - GAIN)
    np.testing.assert_allclose(denoise_in_one_step(s, z).reshape(N, -1), GAIN * z / (1 + weight), rtol=1e-3, atol=1e-4)


def test_what_decodes_at_once_has_the_mass_of_its_likelihood_for_a_bound(tmp_path):
    s = context(tmp_path, likelihood=likelihood)
    found = dict(bits_per_dim(s))
    x = jnp.asarray(s.data.test)
    bits = np.log(2) * 16
    np.testing.assert_allclose(found["bits_per_dim/kl"], np.mean(encode(x).kl_to_standard()) / bits, rtol=1e-5)
    draws = np.random.default_rng(2).standard_normal((64, N, 16))
    nats = [np.mean(discretised(likelihood(x.reshape(N, -1) + S * e), 256, x)) for e in draws]
    error = np.std(nats) / np.sqrt(16)
    assert abs(found["bits_per_dim/reconstruction"] - np.mean(nats) / bits) < 4 * error / bits
    assert found["bits_per_dim/diffusion"] == found["bits_per_dim/prior"] == 0
    assert "prior/bits_per_dim/total" not in found


@pytest.mark.parametrize("name", ["one_step/mse", "multi_sample_mean/l2"])
def test_of_what_decodes_at_once_there_is_an_average_and_no_step(name, tmp_path):
    found = dict(multi_sample(context(tmp_path, likelihood=likelihood)))
    assert (name in found) == name.startswith("multi_sample_mean")
