"""Evaluators of the latent space where the answers are known: images that are linear in their latent codes."""

import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.data.dataset import to_model, to_unit
from sde_vae.data.datasets.avatar_factors import FACTORS, factors
from sde_vae.data.datasets.counterfactuals import counterfactuals
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.sdes import VP
from sde_vae.evaluators.context import Attributes, EvalContext, EvalData, MetricNetworks, make_context
from sde_vae.evaluators.edit_targets import Target, choose_targets, class_columns
from sde_vae.evaluators.edits import edits
from sde_vae.evaluators.interpolation import interpolation
from sde_vae.evaluators.latent_factors import class_labels
from sde_vae.evaluators.latent_prior import latent_prior, latent_priors
from sde_vae.evaluators.latents import plot_latents
from sde_vae.evaluators.neighbours import neighbours
from sde_vae.evaluators.traversal import traversal
from sde_vae.inference.decoding import Decoder
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.metrics.sets.pixels import load_pixels
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.heun import heun
from sde_vae.solvers.step import rescale
from sde_vae.solvers.stochastic import ancestral
from tests.helpers.exact import exact_model

SDE, LATENT = VP(), 4
SHAPE = (8, 8, 1)
# Orthonormal: a code is as long as its image.
DRAW = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 64)))[0].astype(np.float32)
CODES, REST = DRAW[:LATENT], DRAW[LATENT:]
LOG_VAR = -4.0


def image(z, rest=None):
    """float32 in [-1, 1]: the codes' own part, and one that they know nothing of."""
    x = z.astype(np.float32) @ CODES
    return np.asarray(x if rest is None else x + rest.astype(np.float32) @ REST).reshape(-1, *SHAPE)


def to_levels(x):
    assert np.abs(x).max() < 1, "nothing may be clipped"
    return np.round((x + 1) / 2 * 255).astype(np.uint8)


def linear_context(folder, train, test, attributes=None):
    """A linear encoder, and a decoder that knows the codes' part of an image."""
    nothing = EvalContext(**dict.fromkeys(EvalContext._fields))
    encode = lambda x: x.reshape(len(x), -1) @ CODES.T
    return nothing._replace(
        model=exact_model(None),
        encode=lambda x: DiagGaussian(encode(x), np.full((len(x), LATENT), LOG_VAR, np.float32)),
        decode=lambda z, index, label, x_T=None: image(z),
        data=EvalData("flat", "f" * 64, 256, train, test, to_model(test, 256), attributes),
        networks=MetricNetworks({}, load_pixels(), {}, folder / "moments"),
        cache=ResumeCache(folder / "parts", {}),
        batch_size=64,
        latent=LATENT,
        samples=400,
        seed=0,
    )


def draws(n, seed, mean=0.0, scale=0.3):
    return mean + scale * np.random.default_rng(seed).standard_normal((n, LATENT))


# --- priors


def test_a_fitted_prior_is_right_where_the_standard_one_is_not(tmp_path):
    mean, std = np.array([0.5, 0.0, -0.2, 0.0]), np.array([0.3, 0.5, 0.1, 0.2])
    train = to_levels(image(np.clip(draws(1500, 0, mean, std), -1.5, 1.5)))
    context = linear_context(tmp_path, train, train[:40])
    third = lambda rng, n: np.zeros((n, LATENT), np.float32)
    found = dict(latent_prior(context, shown=2, priors=lambda context: latent_priors(context) | {"constant": third}))
    # On [0, 1], lengths are half of those of the codes, and squares a quarter.
    exact = {
        "normal": np.sum(mean**2) + np.sum((1 - std) ** 2),
        "gaussian": np.sum((np.sqrt(std**2 + np.exp(LOG_VAR)) - std) ** 2),
        "constant": np.sum(mean**2) + np.sum(std**2),
    }
    fd = {name: found[f"latent_prior/{name}/fd_pixels"] for name in exact}
    for name in exact:
        np.testing.assert_allclose(fd[name], exact[name] / 4, rtol=0.1, atol=0.002)
    kid = {name: found[f"latent_prior/{name}/kid_pixels"] for name in exact}
    assert kid["normal"] > kid["gaussian"] + 4 * found["latent_prior/normal/kid_pixels_stderr"]
    assert found["latent_prior/n"] == 400
    assert (context.figures / "latent_prior.png").exists()


def test_codes_by_diffusion_have_the_width_of_the_aggregate_posterior(tmp_path):
    """The exact score of standardised codes, which are N(0, I) at every time, so that an ODE leaves them where they begin: what is drawn has
    the moments of those that were encoded, up to four standard errors of 4,000.
    """
    mean, std = np.array([0.5, 0.0, -0.2, 0.0]), np.array([0.3, 0.2, 0.1, 0.0])
    train = to_levels(image(np.clip(draws(1500, 0, mean, std), -1.5, 1.5)))
    context = linear_context(tmp_path, train, train[:1])
    decoder = Decoder(SDE, heun(), uniform_log_snr(SDE, 100), rescale)
    model = context.model._replace(decoder=decoder, latent_prior=lambda params: lambda u, t: -u)
    z = latent_priors(context._replace(model=model))["diffusion"](np.random.default_rng(0), 4000)
    assert z.shape == (4000, LATENT)
    assert z.dtype == np.float32
    wanted = np.sqrt(std**2 + np.exp(LOG_VAR))
    np.testing.assert_allclose((z.mean(axis=0) - mean) / wanted, 0, atol=4 / np.sqrt(4000))
    np.testing.assert_allclose(z.std(axis=0), wanted, rtol=4 / np.sqrt(8000))


# --- traversals


def test_a_traversal_is_as_long_as_its_dimensions_are_wide(tmp_path):
    std = np.array([0.05, 0.08, 0.02, 0.15])
    train, test = (to_levels(image(draws(n, seed, 0, std))) for n, seed in ((500, 0), (20, 1)))
    context = linear_context(tmp_path, train, test)
    asked = []
    decode = context.decode
    context = context._replace(decode=lambda z, index, label: asked.append((z, index)) or decode(z, index, label))
    found = dict(traversal(context, dimensions=2, frames=9))
    ((z, index),) = asked
    assert not index.any()
    z = z.reshape(2, 9, LATENT)
    # Those with the largest KL, and the others stand still. The middle is the image's own code.
    np.testing.assert_array_equal([np.ptp(row, axis=0) > 0 for row in z], np.eye(LATENT, dtype=bool)[[3, 1]])
    np.testing.assert_allclose(z[:, 4], np.repeat(context.encode(context.data.test[:1]).mean, 2, axis=0), atol=1e-6)
    # From -3 to 3 deviations of the aggregate posterior, halved on [0, 1].
    wide = np.sqrt(context.encode(to_model(train, 256)).mean.std(axis=0) ** 2 + np.exp(LOG_VAR))
    np.testing.assert_allclose(found["latent/traversal/l2"], 3 * wide[[3, 1]].mean(), rtol=1e-4)
    assert (context.figures / "traversal.png").exists()


# --- interpolation


def test_a_straight_line_through_a_linear_world_is_even(tmp_path):
    test = to_levels(image(draws(40, 0)))
    context = linear_context(tmp_path, test, test)
    found = dict(interpolation(context, shown=1))
    np.testing.assert_allclose(found["latent/interpolation/linear/largest_step"], 1, rtol=1e-4)
    assert found["latent/interpolation/slerp/largest_step"] > 1.001
    for path in ("linear", "slerp"):
        # The codes miss the rounding of 64 pixels, half a level at most.
        assert found[f"latent/interpolation/{path}/ends_l2"] < 8 * 0.5 / 255
    assert found["latent/interpolation/pairs"] == 16
    assert not any("inverted" in name for name in found)
    assert (context.figures / "interpolation.png").exists()


def test_a_decoder_that_ignores_its_code_has_no_steps(tmp_path):
    test = to_levels(image(draws(4, 0)))
    context = linear_context(tmp_path, test, test)._replace(decode=lambda z, *_: np.zeros((len(z), *SHAPE), np.float32))
    found = dict(interpolation(context, shown=1))
    assert "latent/interpolation/linear/largest_step" not in found
    np.testing.assert_allclose(
        found["latent/interpolation/linear/ends_l2"],
        np.linalg.norm(to_unit(context.data.test) - 0.5, axis=(1, 2)).mean(),
    )


def gaussian_world(folder, test, width):
    """z is the codes' part of x_0 but for a little noise; the rest of x_0 is N(0, width^2): all scores exact."""
    project = jnp.asarray(CODES.T @ CODES)

    def conditioned(z):
        def score(x, t):
            alpha, sigma = (f(t)[:, None] for f in (SDE.alpha, SDE.sigma))
            off = x.reshape(len(x), -1) - alpha * (z @ CODES)
            known = off @ project
            parts = ((known, 1e-4), (off - known, width**2))
            return -sum(part / (alpha**2 * v + sigma**2) for part, v in parts).reshape(x.shape)

        return score

    grid = uniform_log_snr(SDE, 32)
    model = exact_model(
        encode=lambda x: DiagGaussian(x.reshape(len(x), -1) @ CODES.T, jnp.full((len(x), LATENT), LOG_VAR)),
        score=conditioned,
        prior=lambda x, t: -x,
        decoder=Decoder(SDE, ancestral, grid),
        inverter=Decoder(SDE, heun(), grid, rescale),
    )
    data = EvalData("flat", "f" * 64, 256, test, test, to_model(test, 256))
    networks = MetricNetworks({}, None, {}, folder / "moments")
    return make_context(model, data, networks, ResumeCache(folder / "parts", {}), LATENT, 8, 64, 0)


def test_with_their_noise_the_ends_are_the_images(tmp_path):
    width, rng = 0.15, np.random.default_rng(0)
    test = to_levels(np.clip(image(draws(16, 0, 0, 0.3), width * rng.standard_normal((16, 60))), -0.99, 0.99))
    context = gaussian_world(tmp_path, test, width)
    found = dict(interpolation(context, shown=1))
    ends = {name: found[f"latent/interpolation/{name}/ends_l2"] for name in ("linear", "slerp", "inverted")}
    np.testing.assert_allclose(ends["linear"], ends["slerp"], rtol=1e-3)
    # From a random x_T the rest of an image is another draw: two of 60 numbers, on [0, 1].
    np.testing.assert_allclose(ends["linear"], width * np.sqrt(2 * 60) / 2, rtol=0.1)
    assert ends["inverted"] < 0.05 * ends["linear"]
    # The middle keeps the rest as wide as it is in an image, since x_T keeps its length.
    whole = context.cache.array("interpolate, inverted", range(72), pytest.fail)
    rest = whole[:9].reshape(9, -1) @ REST.T
    lengths = np.linalg.norm(rest, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(lengths[0], lengths[-1], len(lengths)), rtol=0.05)


# --- neighbours


def test_the_latent_knows_whom_the_pixels_do_not(tmp_path):
    """The attribute is the code's first sign; the rest of the pixels, of which the codes know nothing, drowns it."""

    def world(n, seed):
        rng = np.random.default_rng(seed)
        z = np.zeros((n, LATENT))
        z[:, 0] = rng.choice([-0.4, 0.4], n)
        # Rare and far, so that it decides who is near.
        rest = 0.02 * rng.standard_normal((n, 60))
        rest[np.arange(n), rng.integers(0, 60, n)] += 0.9 * rng.choice([-1, 1], n)
        return np.clip(image(z, rest), -0.999, 0.999), (z[:, :1] > 0).astype(np.int64)

    (train, of_train), (test, of_test) = world(600, 0), world(100, 1)
    attributes = Attributes(("sign",), of_train, of_test)
    context = linear_context(tmp_path, to_levels(train), to_levels(test), attributes)
    found = dict(neighbours(context, shown=1))
    assert found["latent/neighbours/latent"] == 1
    assert found["latent/neighbours/latent_stderr"] == 0
    np.testing.assert_allclose(found["latent/neighbours/chance"], 0.5, atol=0.05)
    assert 0.3 < found["latent/neighbours/pixels"] < 0.9
    assert 0 < found["latent/neighbours/pixels_stderr"] < 0.05
    assert (found["latent/neighbours/k"], found["latent/neighbours/among"]) == (5, 600)
    assert (context.figures / "neighbours.png").exists()
    assert not dict(neighbours(context._replace(data=context.data._replace(attributes=None))))


# --- edits


NAMES, VALUES = ("first", "second", "corner"), (2, 2, 4)


def face(row):
    """Codes of attributes: two signs, and the corners of a square."""
    row = np.atleast_2d(row)
    bits = np.stack([row[:, 0], row[:, 1], row[:, 2] % 2, row[:, 2] // 2], axis=1)
    return np.array([0.4, 0.3, 0.3, 0.3])[None] * (2 * bits - 1)


@pytest.fixture
def faces(tmp_path):
    rng = np.random.default_rng(0)
    of_train, of_test = (rng.integers(0, np.array(VALUES), (n, 3)) for n in (800, 60))
    attributes = Attributes(NAMES, of_train, of_test)
    return linear_context(tmp_path, to_levels(image(face(of_train))), to_levels(image(face(of_test))), attributes)


def test_targets_are_the_values_nearest_to_half_of_the_images():
    column = lambda ones: np.repeat([1, 0], [ones, 100 - ones])
    train = np.stack([column(10), column(52), column(50), np.arange(100), np.zeros(100, int)], axis=1)
    found = choose_targets(Attributes(tuple("abcde"), train, train), 5)
    # Of two values the larger; not of a number, nor of what is always the same.
    assert found == [Target(2, 1), Target(1, 1), Target(0, 1)]
    many = np.repeat([0, 1, 2], [20, 50, 30])[:, None]
    found = choose_targets(Attributes(("a",), many, many), 5)
    assert found == [Target(0, value) for value in (1, 2, 0)]


def test_fractions_are_measurements_and_no_classes(faces, tmp_path):
    """Neither rounded nor taken for classes, by edits, probes, neighbours and plots; a class beside them is used as before."""
    given = faces.data.attributes
    halves = lambda rows: np.concatenate([rows[:, :1] / 2, rows], axis=1).astype(np.float32)
    names = ("half", *given.names)
    attributes = Attributes(names, halves(given.train), halves(given.test), {"first": ("no", "a / yes")})
    assert class_columns(attributes) == [1, 2, 3]
    assert [labels.name for labels in class_labels(attributes)] == list(given.names)
    context = faces._replace(data=faces.data._replace(attributes=attributes))
    found = dict(edits(context))
    assert not any("half" in name for name in found)
    # The names of values, in words that a metric may have.
    assert {"latent/edit/first_a-yes/success", "latent/edit/first_no/success"} & found.keys()
    of_class = faces._replace(data=faces.data._replace(attributes=given))
    assert dict(neighbours(context)) == dict(neighbours(of_class))
    alone = Attributes(("half",), halves(given.train)[:, :1], halves(given.test)[:, :1])
    context = faces._replace(data=faces.data._replace(attributes=alone))
    assert not dict(edits(context))
    assert not dict(neighbours(context))
    plot_latents(context, context.encode(context.data.test))


def test_the_name_of_a_data_set_changes_no_edit(faces):
    """Only a data set that brings its own drawing has counterfactuals, whatever its name."""
    plain, named = (dict(edits(faces._replace(data=faces.data._replace(name=name)))) for name in ("flat", "avatars"))
    assert plain == named


def test_an_edit_leads_to_the_counterfactual(faces):
    """Balanced, independent attributes, and a code that is linear in them: strength 1 leads from one value to the other."""
    draw = lambda face_of, size: to_levels(image(face(np.array(list(face_of.values())))))[0]
    faces = faces._replace(data=faces.data._replace(render=draw))
    both = lambda attributes, targets: [Target(0, 1), Target(1, 1)]
    found = dict(edits(faces, choose=both))
    figure = lambda name, k: found[f"latent/edit/{name}/{k}"]
    for k in (0.5, 1, 1.5):
        np.testing.assert_allclose(figure("true_change", k), k, rtol=0.03)
        assert figure("off_target", k) < 0.1 * k
        np.testing.assert_allclose(figure("counterfactual_distance", k), abs(1 - k), atol=0.06)
    assert (figure("success", 0), figure("success", 1), figure("preserved", 1)) == (0, 1, 1)
    assert found["latent/edit/classifier_accuracy"] == 1
    each = [found[f"latent/edit/{target}/true_change"] for target in ("first_1", "second_1")]
    np.testing.assert_allclose(figure("true_change", 1), np.mean(each))
    assert found["latent/edit/targets"] == 2
    assert (faces.figures / "edits.png").exists()


def test_a_decoder_that_ignores_its_code_edits_nothing(faces):
    draw = lambda face_of, size: to_levels(image(face(np.array(list(face_of.values())))))[0]
    faces = faces._replace(data=faces.data._replace(render=draw))
    context = faces._replace(decode=lambda z, *_: np.zeros((len(z), *SHAPE), np.float32))
    found = dict(edits(context))
    for k in (0.5, 1, 1.5):
        assert found[f"latent/edit/true_change/{k}"] == found[f"latent/edit/off_target/{k}"] == 0
        assert found[f"latent/edit/counterfactual_distance/{k}"] == found[f"latent/edit/preserved/{k}"] == 1
        assert found[f"latent/edit/success/{k}"] == found["latent/edit/success/0"]


def test_an_entangled_latent_does_not_preserve_the_rest(faces):
    """A decoder that moves the second attribute with the first, beyond all its values: the third is the half that is kept."""
    mixed = np.eye(LATENT)
    mixed[0, 1] = 1
    entangled = faces._replace(decode=lambda z, *_: image(z @ mixed))
    found = dict(edits(entangled, choose=lambda attributes, targets: [Target(0, 1)]))
    assert found["latent/edit/preserved/1"] == 0.5
    # Nothing draws these images again.
    assert not any(name.startswith("latent/edit/true_change") for name in found)


def test_without_attributes_there_is_nothing_to_edit(faces):
    assert not dict(edits(faces._replace(data=faces.data._replace(attributes=None))))


def test_avatars_are_rendered(tmp_path):
    pytest.importorskip("python_avatars")
    from sde_vae.data.datasets.avatar_faces import render
    from tests.helpers.avatars import counterfactual

    seeds = range(4)
    rows = np.array([list(factors(seed).values()) for seed in seeds])
    test = np.stack([render(factors(seed), 16) for seed in seeds])
    changed = lambda which, name, value: [
        dict(zip(FACTORS, map(int, rows[i]), strict=True)) | {name: value} for i in which
    ]
    which = np.array([3, 1])
    images = counterfactuals(render, changed(which, "mouth", 2), 16, 256)
    assert Attributes(tuple(FACTORS), rows, rows, FACTORS).value_name("mouth", 2) == FACTORS["mouth"][2]
    for image_, seed in zip(images, which, strict=True):
        expected = counterfactual(int(seed), "mouth", FACTORS["mouth"][2], 16)
        np.testing.assert_array_equal(image_, to_unit(to_model(expected, 256)))
    nose = list(FACTORS).index("nose")
    unchanged = [changed([i], "nose", int(rows[i, nose]))[0] for i in seeds]
    same = counterfactuals(render, unchanged, 16, 256)
    np.testing.assert_array_equal(same, to_unit(to_model(test, 256)))
