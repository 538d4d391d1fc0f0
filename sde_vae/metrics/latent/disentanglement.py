"""How far single codes stand for single factors: DCI and MIG, from codes [n, latent] and integer factors [n, factors].

A factor may not show in some of the images: it has a value there all the same, and no code can know it (`hat_color` of the
avatars is hidden in 86% of the faces; see data/avatar_factors.hidden). So even perfect codes do not reach 1 on such data, and
figures compare between codes of the same images, with the same factors.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from scipy.special import rel_entr
from sklearn.ensemble import RandomForestClassifier

from sde_vae.errors import BadInput

Codes = Float[np.ndarray, "n latent"]
Factors = Integer[np.ndarray, "n factors"]
Labels = Integer[np.ndarray, "n"]
Importance = Float[np.ndarray, "latent factors"]

# Of MIG, as in Locatello et al. 2019, arXiv:1811.12359.
BINS = 20
# Of the random forests: trees, and the fewest images that a leaf may hold.
TREES, LEAF = 16, 5


class DCI(NamedTuple):
    """informativeness: the accuracy on test images, the mean over the factors; majority: that of the commonest training value.

    importance: of each code for each factor; a factor's add up to 1, or are all 0.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    majority: float
    importance: Importance


def dci(
    train_codes: Codes,
    train_factors: Factors,
    codes: Float[np.ndarray, "m latent"],
    factors: Integer[np.ndarray, "m factors"],
) -> DCI:
    """Eastwood & Williams 2018 (openreview By-7dz-AZ), with the importances of a random forest for each factor.

    Every split may choose among all codes: were the choice restricted, codes that know nothing would get a part. A factor that
    no code knows spreads its importance over all of them: read the first two figures beside the informativeness. Raises
    BadInput for a constant factor.
    """
    _check(train_factors)
    importance, accuracy, majority = [], [], []
    for train, test in zip(train_factors.T, factors.T, strict=True):
        forest = RandomForestClassifier(TREES, max_features=None, min_samples_leaf=LEAF, random_state=0, n_jobs=-1)
        forest.fit(train_codes, train)
        importance.append(forest.feature_importances_)
        accuracy.append(np.mean(forest.predict(codes) == test))
        values, counts = np.unique(train, return_counts=True)
        majority.append(np.mean(test == values[np.argmax(counts)]))
    R = np.stack(importance, axis=1)
    return DCI(disentanglement(R), completeness(R), float(np.mean(accuracy)), float(np.mean(majority)), R)


def disentanglement(R: Importance) -> float:
    """1 if no code is of importance to two factors, 0 if all are equally so to all; codes count by their importance."""
    return _concentration(R)


def completeness(R: Importance) -> float:
    """1 if every factor is in one code, 0 if it is equally in all."""
    return _concentration(R.T)


def mig(codes: Codes, factors: Factors) -> float:
    """The mutual information gap (Chen et al. 2018, arXiv:1802.04942), mean over the factors, in [0, 1].

    By how much of the factor's entropy the code that knows most of it beats the second; a code is its histogram of 20 bins
    of equal width (arXiv:1811.12359). With one code only, the second knows nothing. Raises BadInput for a constant factor.
    """
    _check(factors)
    binned = [_binned(code) for code in codes.T]
    gaps = []
    for factor in (np.unique(factor, return_inverse=True)[1] for factor in factors.T):
        information = np.sort([0.0, *(mutual_information(code, factor) for code in binned)])
        gaps.append((information[-1] - information[-2]) / mutual_information(factor, factor))
    return float(np.mean(gaps))


def mutual_information(a: Labels, b: Labels) -> float:
    """Of two labellings 0, 1, .. of the same images, from their counts, in nats. Of one with itself: its entropy.

    It is biased upwards by about (values of a - 1) (values of b - 1) / 2n.
    """
    rows, columns = int(a.max()) + 1, int(b.max()) + 1
    joint = np.bincount(a.astype(np.int64) * columns + b, minlength=rows * columns).reshape(rows, columns) / len(a)
    return float(np.sum(rel_entr(joint, np.outer(joint.sum(axis=1), joint.sum(axis=0)))))


def _concentration(R: Float[np.ndarray, "rows columns"]) -> float:
    """1 - the entropy of each row in units of its largest, weighted by the rows' sums. 0 if all of R is 0, 1 with one column."""
    sums = R.sum(axis=1)
    if not sums.any():
        return 0.0
    R, sums = R[sums > 0], sums[sums > 0]
    shares = R / sums[:, None]
    entropy = -np.sum(shares * np.log(np.where(shares > 0, shares, 1)), axis=1) / np.log(max(R.shape[1], 2))
    return float(np.sum(sums * (1 - entropy)) / np.sum(sums))


def _binned(code: Float[np.ndarray, "n"]) -> Labels:
    return np.digitize(code, np.histogram_bin_edges(code, BINS)[1:-1])


def _check(factors: Factors) -> None:
    constant = np.flatnonzero((factors == factors[:1]).all(axis=0))
    if len(constant):
        raise BadInput(f"factors: column {constant[0]} has one value only; leave it out")
