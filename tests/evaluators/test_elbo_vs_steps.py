"""The bounds of a prior as a hierarchy and the importance weights, where the prior is exact: Gaussian pixels, x_0 ~ N(0, v I)."""

import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.data.dataset import to_model
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.sdes import VP
from sde_vae.evaluators.bits_per_dim import bits_per_dim
from sde_vae.evaluators.context import EvalContext, EvalData, MetricNetworks
from sde_vae.evaluators.elbo_vs_steps import elbo_vs_steps
from sde_vae.evaluators.importance import importance
from sde_vae.evaluators.inversion import inversion
from sde_vae.inference.decoding import Decoder
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.metrics.sets.pixels import load_pixels
from sde_vae.reporting.tables import tables
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.heun import heun
from sde_vae.solvers.step import rescale
from sde_vae.solvers.stochastic import ancestral
from tests.helpers.exact import exact_model

SDE, V = VP(), 0.1


def score(x, t):
    """Of N(0, V I), diffused."""
    variance = SDE.alpha(t) ** 2 * V + SDE.sigma(t) ** 2
    return -x / variance[:, None, None, None]


def draw(n, seed):
    """Pixels of N(0, V I), rounded to 256 levels of [-1, 1]: three deviations fit."""
    x = np.sqrt(V) * np.random.default_rng(seed).standard_normal((n, 8, 8, 1))
    return np.clip(np.round((x + 1) / 2 * 255), 0, 255).astype(np.uint8)


@pytest.fixture
def context(tmp_path):
    train, test = draw(512, 0), draw(64, 1)
    grid = uniform_log_snr(SDE, 64)
    model = exact_model(
        # A latent that knows nothing, and an encoder that says so: the method is its prior.
        encode=lambda x: DiagGaussian(jnp.zeros((len(x), 2)), jnp.zeros((len(x), 2))),
        score=lambda z: score,
        prior=score,
        decoder=Decoder(SDE, ancestral, grid),
        inverter=Decoder(SDE, heun(), grid, rescale),
    )
    return EvalContext(**dict.fromkeys(EvalContext._fields))._replace(
        model=model,
        data=EvalData("flat", "f" * 64, 256, train, test, to_model(test, 256)),
        networks=MetricNetworks({}, load_pixels(), {}, tmp_path / "moments"),
        cache=ResumeCache(tmp_path / "parts", {}),
        batch_size=64,
        seed=0,
    )


@pytest.mark.slow
def test_more_steps_lead_to_the_exact_likelihood(context):
    steps = (1, 2, 4, 64)
    found = dict(elbo_vs_steps(context, steps=steps, fitted=4, iterations=(1, 8)))
    for grid in ("uniform_t", "uniform_log_snr"):
        bounds = [found[f"elbo_vs_steps/{grid}/{T}"] for T in steps]
        assert np.all(np.diff(bounds) < 0), bounds
    for T in (1, 2, 4):
        assert found[f"elbo_vs_steps/fitted/{T}"] < found[f"elbo_vs_steps/uniform_log_snr/{T}"]
    # One pixel of N(0, V) in steps of 2 / 255, whatever the model's chain does: its entropy in bits.
    exact = 0.5 * np.log2(2 * np.pi * np.e * V) + np.log2(255 / 2)
    for limit in ("continuous", "ode"):
        np.testing.assert_allclose(
            found[f"elbo_vs_steps/{limit}"], exact, atol=4 * found[f"elbo_vs_steps/{limit}_stderr"]
        )
    # Exact scores: both limits are the likelihood, here on the same images.
    assert found["elbo_vs_steps/continuous"] < found["elbo_vs_steps/uniform_log_snr/64"]
    np.testing.assert_allclose(found["elbo_vs_steps/continuous"], found["elbo_vs_steps/ode"], atol=0.05)

    fd = {
        name: found[f"iterated_decoding/{name}/fd_pixels"] for name in ("diffusion/1", "vae/1", "diffusion/8", "vae/8")
    }
    # After one decoding the two are one model. More decodings help the diffusion model only.
    np.testing.assert_allclose(fd["diffusion/1"], fd["vae/1"], rtol=1e-5)
    assert fd["diffusion/8"] < 0.3 * fd["diffusion/1"]
    assert fd["vae/8"] > 0.9 * fd["vae/1"]
    assert {"elbo_vs_steps.png", "iterated_decoding.png"} <= {p.name for p in context.figures.iterdir()}
    titles = [table.title for table in tables(found)]
    assert titles == [
        "The prior as a hierarchy of T latents, bits/dim ↓ of 64 images",
        "Samples by the number of decodings, fd_pixels ↓",
    ]


def test_a_latent_that_knows_nothing_leaves_the_priors_bound(context):
    found = dict(bits_per_dim(context))
    assert found["bits_per_dim/kl"] == found["prior/bits_per_dim/kl"] == 0
    for name in ("bits_per_dim", "prior/bits_per_dim"):
        parts = [found[f"{name}/{term}"] for term in ("kl", "prior", "diffusion", "reconstruction")]
        np.testing.assert_allclose(found[f"{name}/total"], sum(parts), rtol=1e-5)
        assert 0 < found[f"{name}/total_stderr"] < 0.3
    # The same bound from other draws.
    error = np.hypot(found["bits_per_dim/total_stderr"], found["prior/bits_per_dim/total_stderr"])
    assert abs(found["bits_per_dim/total"] - found["prior/bits_per_dim/total"]) < 4 * error


def test_more_weights_never_loosen_the_bound(context):
    found = dict(importance(context, steps=8))
    one, four, all_of_them = (found[f"importance/{k}"] for k in (1, 4, 16))
    # Each is a mean over the same weights: Jensen's inequality holds for every image, not only in expectation.
    assert all_of_them < four < one


def test_inversion_gives_the_images_back(context):
    context = context._replace(
        encode=lambda x: context.model.encode(context.model.params, x),
        invert=lambda z, x, label: np.stack([x, x], axis=1),
    )
    found = dict(inversion(context))
    assert found["inversion/psnr"] == 100
    assert found["inversion/nfe"] == 128
