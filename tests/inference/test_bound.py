"""The bound that is reported: of an exact ScoreVAE it is the likelihood, image by image, and without its KL it would lie below it."""

import jax.numpy as jnp
import numpy as np

from sde_vae.bounds.terms import Terms
from sde_vae.data.dataset import to_model
from sde_vae.inference.bound import as_mass, method_bound, prior_bound, terms_per_image
from sde_vae.inference.decoding import Decoder
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.stochastic import ancestral
from tests.helpers import gaussian_pixels as pixels
from tests.helpers.exact import exact_model

MODEL = exact_model(
    Decoder(pixels.SDE, ancestral, uniform_log_snr(pixels.SDE, 4)),
    encode=pixels.encode,
    score=pixels.score,
    prior=pixels.prior,
)


def terms(make, x, x_z):
    return terms_per_image(None, make(MODEL, as_mass(pixels.LEVELS)), x, x_z, draws=64, seed=0, batch_size=256)


def agrees(found, expected, most):
    """Image by image on average, within 4 standard errors that are themselves under `most` bits."""
    error = (found - expected).std() / np.sqrt(len(found))
    assert error < most
    assert abs((found - expected).mean()) < 4 * error, ((found - expected).mean(), error)


def test_of_an_exact_model_it_is_the_likelihood():
    x = to_model(pixels.draw(256, 0), pixels.LEVELS)
    own, alone = terms(method_bound, x, x), terms(prior_bound, x, x)
    bits = pixels.D * np.log(2)
    np.testing.assert_allclose(own["kl"], pixels.encode(jnp.asarray(x)).kl_to_standard() / bits, rtol=1e-5)
    assert np.all(alone["kl"] == 0)
    for found in (own, alone):
        np.testing.assert_allclose(found["total"], sum(found[name] for name in Terms._fields), rtol=1e-5)
        agrees(found["total"], pixels.bits_of(x), 0.04)
    # What the KL costs the diffusion term gives back: both are far from nothing.
    agrees(own["kl"], np.full(len(x), pixels.KL / np.log(2)), 0.05)
    agrees(alone["diffusion"] - own["diffusion"], own["kl"], 0.05)
    np.testing.assert_array_equal(own["prior"], alone["prior"])


def test_with_the_z_of_another_image_it_is_the_kl_and_the_score_of_that_one():
    """The score's error for z that is independent of x_0 is G^2 V^2 E|z - z'|^2 in the mean of x_0: it costs what x_t does not say."""
    x = to_model(pixels.draw(256, 0), pixels.LEVELS)
    own, other = terms(method_bound, x, x), terms(method_bound, x, x[::-1])
    np.testing.assert_allclose(other["kl"], own["kl"][::-1], rtol=1e-6)
    np.testing.assert_array_equal(other["prior"], own["prior"])
    # 1/2 int a^2 / s^2 (x0_hat - x0_hat')^2 dl per pixel, x0_hat' - x0_hat = G V (z' - z) s^2 / (a^2 V S2 + s^2), snr from -10 to its end.
    snr = np.exp(np.asarray(pixels.SDE.log_snr(jnp.array([1.0, 1e-4])), np.float64))
    share = (lambda c: c / pixels.S2 / pixels.V)(1 - 1 / (1 + snr * pixels.V * pixels.S2))
    apart = 0.5 * (pixels.G * pixels.V) ** 2 * 2 * (share[1] - share[0]) / np.log(2)
    agrees(other["diffusion"] - own["diffusion"], np.full(len(x), apart), 0.5)
