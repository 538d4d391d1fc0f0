"""Linear probes where the best that a linear classifier can do is known, and where there is nothing to find."""

import numpy as np
import pytest
from scipy.stats import norm

from sde_vae.errors import BadInput
from sde_vae.metrics.image.distances import standard_error
from sde_vae.metrics.latent import probes

RNG = np.random.default_rng(0)


def two_classes(n, distance):
    """Unit Gaussians in 3 dimensions, their means that far apart; labels 0 and 1, equally likely."""
    labels = RNG.integers(0, 2, n)
    return (RNG.standard_normal((n, 3)) + distance / np.sqrt(3) * labels[:, None]).astype(np.float32), labels


def test_separable_classes_are_separated():
    labels = RNG.integers(0, 3, 300)
    codes = np.eye(3)[labels] * 20 + RNG.standard_normal((300, 3))
    found = probes.right(codes[:200], labels[:200], codes[200:], labels[200:])
    assert found.probe.all()
    has = (labels == 1).astype(np.int64)
    scores = probes.scores(codes[:200], has[:200], codes[200:])
    assert probes.average_precision(has[200:], scores) == pytest.approx(1)


def test_the_probe_is_as_good_as_bayes_rule():
    """Between two unit Gaussians at distance 2 the best that any classifier does is the normal distribution at 1."""
    found = probes.right(*two_classes(4000, 2.0), *two_classes(4000, 2.0))
    accuracy, error = found.probe.mean(), standard_error(found.probe.astype(np.float64))
    assert abs(accuracy - norm.cdf(1)) < 4 * error
    assert abs(found.majority.mean() - 0.5) < 4 * error / norm.cdf(1)


def test_scrambled_labels_are_found_by_chance_only():
    """Uniform labels are guessed with odds 1 : 3, whoever guesses."""
    codes, labels = RNG.standard_normal((3000, 5)), RNG.integers(0, 4, 3000)
    found = probes.right(codes[:1000], labels[:1000], codes[1000:], labels[1000:])
    error = np.sqrt(0.25 * 0.75 / 2000)
    assert abs(found.probe.mean() - 0.25) < 4 * error
    assert abs(found.majority.mean() - 0.25) < 4 * error


def test_average_precision_by_hand_and_by_chance():
    labels = np.array([1, 0, 1, 0])
    # Found first and third: precisions 1 and 2/3.
    assert probes.average_precision(labels, np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx(5 / 6)
    assert np.isnan(probes.average_precision(0 * labels, np.arange(4.0)))
    labels, scores = (RNG.random(4000) < 0.1).astype(np.int64), RNG.random(4000)
    error = probes.jackknife(lambda rows: probes.average_precision(labels[rows], scores[rows]), 4000)
    assert abs(probes.average_precision(labels, scores) - labels.mean()) < 4 * error


def test_codes_in_other_units_make_no_difference():
    codes, labels = two_classes(500, 1.0)
    scale = np.float32(10) ** np.arange(-3, 3, 2, dtype=np.float32)
    plain, scaled = (
        probes.scores(c[:300], labels[:300], c[300:]) for c in (codes, codes * scale[None] + np.float32(7))
    )
    np.testing.assert_allclose(scaled, plain, atol=1e-2)
    np.testing.assert_array_equal(probes.scores(codes[:300], labels[:300], codes[300:]), plain)


def test_labels_that_were_not_there_are_never_right():
    codes, labels = two_classes(200, 2.0)
    found = probes.right(codes, labels, codes, np.full(200, -1))
    assert not found.probe.any()
    assert not found.majority.any()
    with pytest.raises(BadInput, match="at least two different ones, got only 0"):
        probes.fit(codes, 0 * labels)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = RNG.standard_normal(20)
    assert probes.jackknife(lambda rows: values[rows].mean(), 20) == pytest.approx(standard_error(values))
    assert np.isnan(probes.jackknife(lambda rows: 1.0, 1))


def test_the_jackknife_tells_how_average_precision_varies():
    def draw():
        labels = (RNG.random(400) < 0.3).astype(np.int64)
        scores = RNG.standard_normal(400) + labels
        precision = lambda rows: probes.average_precision(labels[rows], scores[rows])
        return precision(np.arange(400)), probes.jackknife(precision, 400)

    values, errors = np.array([draw() for _ in range(60)]).T
    # 60 draws tell a deviation to a part in sqrt(120), 60 times 19 group differences the mean error to one in sqrt(2280).
    ratio = np.sqrt(np.mean(errors**2)) / np.std(values, ddof=1)
    assert abs(ratio - 1) < 4 * np.hypot(1 / np.sqrt(120), 1 / np.sqrt(2280))
