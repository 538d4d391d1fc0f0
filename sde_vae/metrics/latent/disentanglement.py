"""Disentanglement of latent codes [n, latent] with respect to integer factors [n, factors]: DCI and MIG.

In these metrics a code is one dimension of the latent codes. A factor may not be visible in some of the images. It has a value
there too, which no code can predict: `hat_color` of the avatars is hidden in 86% of the faces (see
data/datasets/avatar_factors.hidden). Even perfect codes then do not reach 1. Compare values for the same images and factors only.
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

# MIG's number of bins, as in Locatello et al. 2019, arXiv:1811.12359.
BINS = 20
# The random forests' number of trees, and the fewest images in a leaf.
TREES, LEAF = 16, 5


class DCI(NamedTuple):
    """The three scores of DCI, and what they are computed from.

    informativeness   the accuracy on test images, averaged over the factors
    majority          the accuracy of predicting the most common training value
    importance        of each code for each factor; those of one factor add up to 1, or are all 0
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
    """Return DCI (Eastwood & Williams 2018, openreview By-7dz-AZ), with the importances of a random forest for each factor.

    Every split of a tree may choose among all codes. With a restricted choice, codes without information would get some
    importance. A factor that no code predicts spreads its importance over all codes: read the first two scores beside the
    informativeness. Raises BadInput for a constant factor.
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
    """Return 1 if no code is important for two factors, and 0 if all are equally important for all.

    Codes are weighted by their importance.

    >>> disentanglement(np.array([[1.0, 0.0], [0.0, 1.0]]))
    1.0
    """
    return _concentration(R)


def completeness(R: Importance) -> float:
    """Return 1 if every factor is predicted by one code, and 0 if it is predicted equally by all.

    >>> completeness(np.array([[0.5, 0.5], [0.5, 0.5]]))
    0.0
    """
    return _concentration(R.T)


def mig(codes: Codes, factors: Factors) -> float:
    """Return the mutual information gap, averaged over the factors, in [0, 1] (Chen et al. 2018, arXiv:1802.04942).

    The gap is the difference between the largest and the second largest mutual information of a code with the factor, as a part
    of the factor's entropy. Codes are binned into 20 bins of equal width (arXiv:1811.12359). With one code, the second mutual
    information is 0. Raises BadInput for a constant factor.
    """
    _check(factors)
    binned = [_binned(code) for code in codes.T]
    gaps = []
    for factor in (np.unique(factor, return_inverse=True)[1] for factor in factors.T):
        information = np.sort([0.0, *(mutual_information(code, factor) for code in binned)])
        gaps.append((information[-1] - information[-2]) / mutual_information(factor, factor))
    return float(np.mean(gaps))


def mutual_information(a: Labels, b: Labels) -> float:
    """Return the mutual information in nats of two labellings 0, 1, ... of the same images, from their counts.

    That of a labelling with itself is its entropy. The estimate is biased upwards by about
    (values of a - 1) (values of b - 1) / 2n.

    >>> mutual_information(np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1]))
    0.693
    """
    rows, columns = int(a.max()) + 1, int(b.max()) + 1
    joint = np.bincount(a.astype(np.int64) * columns + b, minlength=rows * columns).reshape(rows, columns) / len(a)
    return float(np.sum(rel_entr(joint, np.outer(joint.sum(axis=1), joint.sum(axis=0)))))


def _concentration(R: Float[np.ndarray, "rows columns"]) -> float:
    """Return 1 - entropy / maximal entropy of each row, averaged with the rows' sums as weights.

    It is 0 if R is all 0, and 1 with one column.
    """
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
