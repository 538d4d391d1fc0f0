"""The errors at each noise level where they are a formula; and what regressions must find."""

import numpy as np
import pytest

from sde_vae.evaluators.noise_levels import noise_levels
from sde_vae.metrics.latent.regressions import REGRESSIONS
from tests.evaluators.test_multi_sample import GAIN, SDE, S, V, context, likelihood, score


def prior(x, t):
    a, s = (f(t)[:, None, None, None] for f in (SDE.alpha, SDE.sigma))
    return -x / (a**2 * V + s**2)


def test_the_errors_are_the_posterior_variances(tmp_path):
    found = dict(noise_levels(context(tmp_path, score=score, prior=prior)))
    levels = sorted({float(name.split("/")[1]) for name in found if name.startswith("noise_level")})
    assert len(levels) == 9
    assert levels[0] < -9
    assert levels[-1] == 8
    for level in levels:
        snr = np.exp(level)
        # Precisions add: of the data, of z, of x_t. Lengths on [0, 1] are halves.
        for name, precision in (("mse", 1 / V + 1 / S**2 + snr), ("prior_mse", 1 / V + snr)):
            got, error = (found[f"noise_level/{level:.1f}/{name}{end}"] for end in ("", "_stderr"))
            # The digits and edges of uint8 are in the data, and not in the formula: 2.6e-6, and a thousandth of V.
            assert abs(got - 0.25 / precision) < 4 * error + 1e-5, (level, name)
        # The z of another image moves the estimate by (z' - z) / S^2 over the precision.
        precision = 1 / V + 1 / S**2 + snr
        expected = 0.25 * (1 / precision + 2 * (V + S**2) / (S**2 * precision) ** 2)
        got, error = (found[f"noise_level/{level:.1f}/shuffled_mse{end}"] for end in ("", "_stderr"))
        assert abs(got - expected) < 4 * error + 1e-5, level
    assert list(tmp_path.rglob("noise_levels.png"))


def test_the_best_guidance_is_1_for_exact_scores_and_undoes_what_is_not(tmp_path):
    for factor in (1.0, 1.6):
        guided = lambda z, f=factor: lambda x, t: prior(x, t) + f * (score(z)(x, t) - prior(x, t))
        found = dict(noise_levels(context(tmp_path / str(factor), score=guided, prior=prior)))
        for level in ("-10.0", "-3.3", "3.5"):
            got, error = (found[f"noise_level/{level}/best_guidance{end}"] for end in ("", "_stderr"))
            assert abs(got - 1 / factor) < 4 * error + 1e-3, (factor, level)
            assert error < 0.05
            least = found[f"noise_level/{level}/guided_mse"]
            assert least < found[f"noise_level/{level}/mse"] + 1e-9
            assert least == pytest.approx(0.25 / (1 / V + 1 / S**2 + np.exp(float(level))), rel=0.05)


def test_there_is_no_best_guidance_where_z_moves_nothing_but_the_last_digit(tmp_path):
    silent = lambda z: lambda x, t: prior(x, t) + 1e-8 * (score(z)(x, t) - prior(x, t))
    found = dict(noise_levels(context(tmp_path, score=silent, prior=prior)))
    assert any(name.endswith("/prior_mse") for name in found)
    assert not [name for name in found if "guid" in name]


def test_z_alone_tells_what_a_linear_decoder_would(tmp_path):
    found = dict(noise_levels(context(tmp_path, likelihood=likelihood)))
    assert not any(name.startswith("noise_level/") for name in found)
    # Fitted to 512 images in 17 unknowns a pixel.
    expected = 0.25 * V * (1 - GAIN) * (1 + 17 / 512)
    assert abs(found["from_z/linear_mse"] - expected) < 4 * found["from_z/linear_mse_stderr"]


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("linear", lambda z: 3 * z + 1),
        ("quadratic", lambda z: z + z**2),
        ("kernel", lambda z: np.sin(2 * z)),
    ],
)
def test_each_regression_finds_its_kind_and_the_weaker_do_not(name, function):
    z = np.random.default_rng(0).standard_normal((900, 2))
    x = function(z)
    order = list(REGRESSIONS)
    error = {n: np.mean((r(z[:600], x[:600], z[600:]) - x[600:]) ** 2) / x.var() for n, r in REGRESSIONS.items()}
    assert error[name] < 1e-2
    assert all(error[weaker] > 0.1 for weaker in order[: order.index(name)])
