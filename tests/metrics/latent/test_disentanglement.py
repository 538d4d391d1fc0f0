"""DCI, MIG and TAD of codes that are the factors, of codes turned by 45 degrees, and of codes that know nothing."""

import itertools

import numpy as np
import pytest
from scipy.stats import chi2
from sklearn.metrics import mutual_info_score, roc_auc_score

from sde_vae.errors import BadInput
from sde_vae.metrics.latent.disentanglement import completeness, dci, disentanglement, mig, mutual_information
from sde_vae.metrics.latent.tad import CAPTURED, tad

RNG = np.random.default_rng(0)


def every(*sizes, times=1):
    """Every combination of that many values, equally often: exactly independent factors."""
    return np.tile(np.array(list(itertools.product(*map(range, sizes)))), (times, 1))


def copies(factors):
    """The factors in another order, direction and unit, and a code that is always the same."""
    codes = factors[:, ::-1] * np.linspace(-2, 3, factors.shape[1])[None] + 1
    return np.concatenate([codes, np.ones((len(codes), 1))], axis=1)


def turned(factors):
    """Two factors turned by 45 degrees."""
    return np.stack([factors[:, 0] + factors[:, 1], factors[:, 0] - factors[:, 1]], axis=1) / np.sqrt(2)


def test_dci_is_one_for_copies_of_the_factors_among_noise():
    factors = every(3, 5, 2, times=20)
    codes = np.concatenate([copies(factors), RNG.standard_normal((len(factors), 2))], axis=1)
    found = dci(codes, factors, codes, factors)
    np.testing.assert_allclose(found[:3], 1, atol=1e-12)
    # Copies are in the opposite order; the constant and the noise are of no importance.
    np.testing.assert_allclose(found.importance, np.eye(6, 3)[[2, 1, 0, 3, 4, 5]], atol=1e-12)
    np.testing.assert_allclose(found.majority, (1 / 3 + 1 / 5 + 1 / 2) / 3)


def test_dci_falls_when_the_codes_are_turned():
    factors = every(8, 8, times=16)
    straight = dci(copies(factors), factors, copies(factors), factors)
    askew = dci(turned(factors), factors, turned(factors), factors)
    np.testing.assert_allclose(straight[:3], 1, atol=1e-12)
    # By symmetry each code has half of the importance for each factor, up to the forest's luck: a share of 0.5 + e leaves
    # 2 e^2 / log 2, which is 0.1 at e = 0.19.
    assert max(askew.disentanglement, askew.completeness) < 0.1
    # Both codes together determine the factors, even so.
    assert askew.informativeness > 0.9


def test_dci_of_noise_shows_in_its_informativeness():
    factors, codes = RNG.integers(0, 4, (2000, 2)), RNG.standard_normal((2000, 3))
    found = dci(codes[:1000], factors[:1000], codes[1000:], factors[1000:])
    # Two uniform factors are guessed with odds 1 : 3.
    assert abs(found.informativeness - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 2000)
    assert max(found.disentanglement, found.completeness) < 0.1


def test_importances_done_by_hand():
    # Two codes for the first factor, one for the second.
    R = np.array([[0.5, 0.0], [0.5, 0.0], [0.0, 1.0]])
    assert disentanglement(R) == pytest.approx(1)
    assert completeness(R) == pytest.approx((1 - np.log(2) / np.log(3) + 1) / 2)
    assert disentanglement(np.ones((4, 3))) == pytest.approx(0)
    assert completeness(np.ones((4, 3))) == pytest.approx(0)
    # One code for all factors: complete, and not disentangled. A code that is not used does not count.
    one = np.array([[1.0, 1.0], [0.0, 0.0]])
    assert completeness(one) == pytest.approx(1)
    assert disentanglement(one) == pytest.approx(0)
    assert completeness(one[:1]) == 1
    assert completeness(0 * one) == disentanglement(0 * one) == 0


def test_mig_is_one_for_copies_and_zero_for_a_factor_in_two_codes():
    factors = every(3, 5, 20)
    assert mig(copies(factors).astype(np.float64), factors) == pytest.approx(1)
    assert mig(copies(factors)[:, :1].astype(np.float64), factors[:, -1:]) == pytest.approx(1)
    twice = np.concatenate([factors, -factors], axis=1).astype(np.float64)
    assert mig(twice, factors) == pytest.approx(0, abs=1e-12)
    pair = every(8, 8)
    assert mig(turned(pair), pair) == pytest.approx(0, abs=1e-12)


def test_mig_of_independent_codes_is_small_as_the_sample_says():
    n, values, codes = 2000, 4, 5
    factors = np.concatenate([RNG.integers(0, values, (n, 3)), every(*[values] * 2, times=n // 16)[:, :1]], axis=1)
    found = mig(RNG.uniform(size=(n, codes)), factors)
    # 2 n times the information of two independent labellings is chi-square; the gap is at most the largest of them.
    largest = chi2.ppf(1 - 1e-6, 19 * (values - 1)) / (2 * n)
    assert 0 <= found < largest / 1.38  # the entropy of 4 values is log 4 = 1.386, nearly


def test_mutual_information_is_that_of_scikit_learn():
    a, b = RNG.integers(0, 5, (2, 500))
    b = np.where(RNG.random(500) < 0.3, a, b).astype(np.int8)
    assert mutual_information(a, b) == pytest.approx(mutual_info_score(a, b))
    assert mutual_information(a, a) == pytest.approx(np.log(5), abs=0.05)


def test_a_constant_factor_is_refused():
    factors = np.stack([np.arange(10) % 2, np.zeros(10, np.int64)], axis=1)
    codes = RNG.standard_normal((10, 2))
    for refused in (lambda: mig(codes, factors), lambda: dci(codes, factors, codes, factors)):
        with pytest.raises(BadInput, match="column 1 has one value only"):
            refused()


def test_tad_of_binary_factors():
    factors = every(2, 2, 2, times=25)
    # Found perfectly, and by nothing else: a half each.
    assert tad(copies(factors), factors) == (pytest.approx(1.5), 3, 3)
    assert tad(np.concatenate([factors, -factors], axis=1).astype(np.float64), factors) == (0, 3, 3)
    # Turned: 7 of 8 pairs are in order (ties count half), for either code.
    pair = factors[:, :2]
    assert CAPTURED < 7 / 8
    assert tad(turned(pair), pair) == (pytest.approx(0), 2, 2)
    assert tad(RNG.standard_normal((200, 3)), factors) == (0, 0, 3)


def test_tad_of_a_factor_with_four_values():
    """In an ordered code the outer two have a threshold; each inner one is beaten by one value and beats two: 2/3."""
    factors = every(4, times=50)
    assert tad(factors.astype(np.float64), factors) == (pytest.approx(1.0), 2, 4)


def test_tad_leaves_out_proxies_and_what_is_rare():
    factors = every(2, 2, times=100)
    same = np.concatenate([factors, factors[:, :1]], axis=1)
    assert tad(same.astype(np.float64), same).attributes == 1
    # Three in ten have the other value: 12% of the entropy remain known, 1 - H(0.3).
    weaker = np.where(np.arange(400) % 40 // 4 < 3, 1 - factors[:, 0], factors[:, 0])
    assert tad(same[:, :2].astype(np.float64), np.stack([factors[:, 0], weaker], axis=1)).attributes == 2
    for few, attributes in ((29, 0), (30, 1)):
        rare = (np.arange(400) < few).astype(np.int64)[:, None]
        assert tad(rare.astype(np.float64), rare).attributes == attributes


def test_tads_detectors_are_those_of_scikit_learn():
    has = RNG.integers(0, 2, 300)
    codes = np.round(RNG.standard_normal((300, 2)) + np.array([2.0, -1.0])[None] * has[:, None], 1)
    aurocs = [max(a, 1 - a) for a in (roc_auc_score(has, code) for code in codes.T)]
    found = tad(codes, has[:, None])
    assert found.total == pytest.approx(max(aurocs) - min(aurocs))
    assert found.captured == 1
