"""The evaluator of latents on images that are their own attributes: every figure is known."""

import numpy as np
import pytest
from scipy.stats import chi2

from sde_vae.data.dataset import evenly_spaced, evenly_spaced_index, to_model
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.errors import BadInput
from sde_vae.evaluators.context import Attributes, EvalContext, EvalData, MetricNetworks
from sde_vae.evaluators.latents import latents
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.reporting import plots

NAMES = ("shape", "hat", "shade")
SIZES = (3, 2, 4)
LOG_VAR = -6.0


def read(x):
    """Three pixels as codes: the factors as `images` wrote them, in units of 0 to 7."""
    mean = (x.reshape(len(x), -1)[:, :3] + 1) * 3.5
    return DiagGaussian(mean.astype(np.float32), np.full((len(x), 3), LOG_VAR, np.float32))


def images(factors):
    """Of 8 levels, 2 x 2 pixels."""
    return np.concatenate([factors, 0 * factors[:, :1]], axis=1).astype(np.uint8).reshape(-1, 2, 2, 1)


def factors_of(n, seed):
    return np.random.default_rng(seed).integers(0, SIZES, (n, len(SIZES))).astype(np.int8)


def make_context(folder, attributes=True, columns=slice(None), encode=read, train=600, test=200):
    seen, held_out = factors_of(train, 0), factors_of(test, 1)
    known = Attributes(NAMES[columns], seen[:, columns], held_out[:, columns]) if attributes else None
    data = EvalData("own", "f" * 64, 8, images(seen), images(held_out), to_model(images(held_out), 8), known)
    return EvalContext(**dict.fromkeys(EvalContext._fields))._replace(
        data=data,
        encode=encode,
        networks=MetricNetworks({}, None, {}, folder),
        cache=ResumeCache(folder / "parts", {}),
        seed=0,
    )


def test_codes_that_are_the_factors_are_worth_everything(tmp_path):
    context = make_context(tmp_path)
    found = dict(latents(context))
    assert found["latent/active_units"] == 3
    for name in ("shape", "shade"):
        assert found[f"latent/probe_accuracy/{name}"] == 1
        assert 0 < found[f"latent/probe_majority/{name}"] < 0.6
    assert found["latent/probe_accuracy"] == 1
    assert found["latent/probe_average_precision"] == found["latent/probe_average_precision/hat"] == pytest.approx(1)
    assert found["latent/probe_prevalence/hat"] == factors_of(200, 1)[:, 1].mean()
    # The one binary attribute is the average precision's alone.
    assert "latent/probe_accuracy/hat" not in found
    for name in ("disentanglement", "completeness", "informativeness"):
        assert found[f"latent/dci_{name}"] == pytest.approx(1)
    # What the second code knows of a factor is luck: of 600 draws, chi-square over 2n. The least entropy is about log 2.
    assert 1 - chi2.ppf(1 - 1e-6, 2 * 3) / 1200 / 0.69 < found["latent/mig"] < 1
    # A threshold tells the hat, and the outermost of three shapes and of four shades.
    assert (found["latent/tad_captured"], found["latent/tad_attributes"]) == (5, 8)
    # The AUROC of chance, for 100 images or more of a kind, is within 4 deviations of 1 / sqrt(12 * 100).
    assert (0.5 - 4 / np.sqrt(1200)) * 5 < found["latent/tad"] <= 0.5 * 5
    # The factors are independent.
    assert found["latent/total_correlation"] < chi2.ppf(1 - 1e-6, 3) / 400
    low, high = (found[f"latent/total_correlation_{name}"] for name in ("lower", "upper"))
    assert low - 4 * found["latent/total_correlation_lower_stderr"] < 0 < high
    assert all(isinstance(value, float) for value in found.values())
    assert (context.figures / "latents.png").stat().st_size > 5000


def test_the_kl_of_known_posteriors(tmp_path):
    found = dict(latents(make_context(tmp_path, attributes=False)))
    kl = 0.5 * (np.square(factors_of(200, 1).astype(np.float64)).mean(axis=0) + np.exp(LOG_VAR) - 1 - LOG_VAR)
    assert found["latent/kl_dim_max"] == pytest.approx(kl.max(), rel=1e-5)
    assert found["latent/kl_dim_min"] == pytest.approx(kl.min(), rel=1e-5)
    assert 1 < found["latent/effective_dimensions"] < 3
    assert not [name for name in found if name.startswith(("latent/probe", "latent/dci", "latent/mig", "latent/tad"))]


def test_attributes_go_with_the_images_that_are_encoded(tmp_path):
    """Of 600 training images 100 are encoded: a shift by one image would leave chance."""
    found = dict(latents(make_context(tmp_path), fitted=100))
    assert found["latent/train_n"] == 100
    assert found["latent/probe_accuracy"] == 1
    train = images(factors_of(600, 0))
    np.testing.assert_array_equal(train[evenly_spaced_index(600, 100)], evenly_spaced(train, 100))
    np.testing.assert_array_equal(evenly_spaced_index(7, 100), np.arange(7))


def test_codes_that_know_nothing_are_worth_nothing(tmp_path):
    noise = lambda x: DiagGaussian(
        np.random.default_rng(len(x)).standard_normal((len(x), 3), np.float32), np.zeros((len(x), 3), np.float32)
    )
    found = dict(latents(make_context(tmp_path, encode=noise)))
    for attribute, chance in (("shape", 1 / 3), ("shade", 1 / 4)):
        error = np.sqrt(chance * (1 - chance) / 200)
        assert abs(found[f"latent/probe_accuracy/{attribute}"] - chance) < 4 * error
    error = found["latent/probe_average_precision_stderr"]
    assert abs(found["latent/probe_average_precision"] - found["latent/probe_prevalence"]) < 4 * error
    luck = [chi2.ppf(1 - 1e-6, 19 * (values - 1)) / 1200 / (0.95 * np.log(values)) for values in SIZES]
    assert found["latent/mig"] < np.mean(luck)
    assert found["latent/tad"] == found["latent/tad_captured"] == 0


def test_one_attribute_has_probes_only(tmp_path):
    context = make_context(tmp_path, columns=slice(0, 1))
    found = dict(latents(context))
    assert found["latent/probe_accuracy"] == found["latent/probe_accuracy/shape"] == 1
    assert not [name for name in found if name.startswith(("latent/dci", "latent/mig", "latent/tad"))]
    assert "latent/probe_average_precision" not in found
    assert not (context.figures / "factors.png").exists()


def test_attributes_that_are_no_classes_are_left_out(tmp_path):
    """One value; a number for each image; two values in training, but one in the test."""
    context = make_context(tmp_path)
    odd = lambda n, last: np.stack([np.zeros(n, np.int64), np.arange(n), last], axis=1)
    known = Attributes(
        ("constant", "number", "missing"), odd(600, np.arange(600) % 2), odd(200, np.full(200, 1, np.int64))
    )
    found = dict(latents(context._replace(data=context.data._replace(attributes=known))))
    assert not [name for name in found if name.startswith("latent/probe")]
    assert "latent/mig" not in found


def test_values_that_no_training_image_has_are_counted_as_wrong(tmp_path):
    context = make_context(tmp_path)
    attributes = context.data.attributes
    test = attributes.test.copy()
    test[:50, 0] = 100
    known = attributes._replace(test=test)
    found = dict(latents(context._replace(data=context.data._replace(attributes=known))))
    assert found["latent/probe_accuracy/shape"] == 150 / 200


def test_the_figure_of_the_factors_has_its_dimensions_by_their_kl(tmp_path, monkeypatch):
    """Each dimension is one factor, and those of more values are longer: shade, then shape, then hat."""
    drawn = []
    draw = plots.heat_map
    monkeypatch.setattr(plots, "heat_map", lambda shown, path: (drawn.append(shown), draw(shown, path)))
    context = make_context(tmp_path)
    dict(latents(context))
    (shown,) = drawn
    assert (shown.rows, shown.columns) == (list(NAMES), ["3", "1", "2"])
    np.testing.assert_allclose(shown.values, [[0, 1, 0], [0, 0, 1], [1, 0, 0]], atol=1e-12)
    assert "disentanglement 1.00" in shown.title
    assert (context.figures / "factors.png").stat().st_size > 5000


@pytest.mark.parametrize(("high", "wide"), [(2, 1), (40, 512)])
def test_a_heat_map_of_any_size_and_of_nothing(tmp_path, high, wide):
    named = lambda n: [str(i) for i in range(n)]
    nothing = plots.HeatMap("title", "x", "colour", named(high), named(wide), np.zeros((high, wide)))
    plots.heat_map(nothing, tmp_path / "nothing.png")
    assert (tmp_path / "nothing.png").stat().st_size > 5000


@pytest.mark.parametrize("latent", [1, 2])
def test_small_latents(tmp_path, latent):
    narrow = lambda x: DiagGaussian(*(a[:, :latent] for a in read(x)))
    found = dict(latents(make_context(tmp_path, encode=narrow)))
    assert np.all(np.isfinite(list(found.values())))
    assert found["latent/active_units"] == latent
    assert found["latent/probe_accuracy/shape"] == 1


def test_posteriors_that_are_not_finite_stop_it(tmp_path):
    broken = lambda x: DiagGaussian(
        np.where(np.arange(len(x))[:, None] < 2, np.nan, np.zeros((len(x), 3))), np.zeros((len(x), 3))
    )
    with pytest.raises(BadInput, match="2 of 200 posteriors are not finite"):
        list(latents(make_context(tmp_path, encode=broken)))


def test_a_deterministic_encoder_has_finite_figures(tmp_path):
    """Its posteriors are narrow Gaussians: the bounds of the total correlation are far apart, and say so."""
    narrow = lambda x: DiagGaussian(read(x).mean, np.full((len(x), 3), -16, np.float32))
    found = dict(latents(make_context(tmp_path, encode=narrow)))
    assert np.all(np.isfinite(list(found.values())))
    assert found["latent/total_correlation_lower"] < found["latent/total_correlation_upper"]
