"""The weight of a path is the latent's, too: of an exact ScoreVAE of a few steps the mean of -log w is its bound L_T, in closed form."""

import numpy as np

from sde_vae.data.dataset import to_model
from sde_vae.evaluators.context import EvalContext, EvalData
from sde_vae.evaluators.importance import importance
from sde_vae.inference.decoding import Decoder
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.stochastic import ancestral
from tests.helpers import gaussian_pixels as pixels
from tests.helpers.exact import exact_model

STEPS, IMAGES = 8, 512


def context(folder):
    images = pixels.draw(IMAGES, 1)
    model = exact_model(
        Decoder(pixels.SDE, ancestral, uniform_log_snr(pixels.SDE, 4)), encode=pixels.encode, score=pixels.score
    )
    return EvalContext(**dict.fromkeys(EvalContext._fields))._replace(
        model=model,
        data=EvalData("flat", "f" * 64, pixels.LEVELS, images, images, to_model(images, pixels.LEVELS)),
        cache=ResumeCache(folder / "parts", {}),
        batch_size=1024,
        seed=0,
    )


def bound():
    """L_T in bits per pixel: the KL, that of x_T, the steps' and the reconstruction's."""
    t = uniform_log_snr(pixels.SDE, STEPS)
    alpha, sigma, l = (np.asarray(f(t), np.float64) for f in (pixels.SDE.alpha, pixels.SDE.sigma, pixels.SDE.log_snr))
    growth = np.expm1(np.diff(l))
    # Of eps given x_t and z, the variance.
    error = (alpha**2 * pixels.V * pixels.S2 / (alpha**2 * pixels.V * pixels.S2 + sigma**2))[:-1]
    eps, weights = np.polynomial.hermite_e.hermegauss(60)
    apart = np.arange(-60, 61) * alpha[-1] * pixels.STEP / sigma[-1]
    log_p = -0.5 * eps**2 - np.log(np.exp(-0.5 * (eps[:, None] + apart) ** 2).sum(1))
    reconstruction = -weights @ log_p / weights.sum()
    return (pixels.KL + 0.5 * np.exp(l[0]) * pixels.V + 0.5 * growth @ error + reconstruction) / np.log(2)


def test_one_weight_is_the_bound_with_its_kl_and_more_tighten_it(tmp_path):
    found = dict(importance(context(tmp_path), images=IMAGES, draws=16, steps=STEPS))
    one, four, all_of_them = (found[f"importance/{k}"] for k in (1, 4, 16))
    error = found["importance/1_stderr"]
    assert 4 * error < 0.25 * pixels.KL / np.log(2)
    assert abs(one - bound()) < 4 * error, (one, bound(), error)
    assert np.mean(pixels.bits_of(context(tmp_path).data.test)) - 4 * error < all_of_them < four < one
    assert found["importance/n"] == IMAGES
    assert found["importance/steps"] == STEPS
