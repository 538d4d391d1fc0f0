"""The total AUROC difference (TAD) of NashAE: whether one code, and no other, predicts an attribute (arXiv:2209.10677).

It is computed as by its authors (Yeats et al. 2022), with two additions for data other than CelebA: factors of more than two
values, and a limit for rare attributes. It measures attributes that a threshold on one code predicts, in either direction. A code
is one dimension of the latent codes.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from scipy.special import rel_entr
from scipy.stats import rankdata

# The least AUROC of a captured attribute. The largest mutual information with another factor's attribute, as a part of the entropy.
CAPTURED, PROXY = 0.75, 0.2
# The fewest images with an attribute, or without it. The AUROC of chance is then 0.5 with standard deviation
# 1 / sqrt(12 * 30) = 0.05, far from 0.75.
MIN_IMAGES = 30

Binary = Float[np.ndarray, "n attributes"]


class TAD(NamedTuple):
    """The sum over the captured attributes, their number, and the number of attributes that were considered."""

    total: float
    captured: int
    attributes: int


def tad(codes: Float[np.ndarray, "n latent"], factors: Integer[np.ndarray, "n factors"]) -> TAD:
    """Return the sum, over captured attributes, of the difference between the best and the second best AUROC of a code.

    An attribute is captured if its best AUROC is 0.75 or more. The paper's attributes are binary. For a factor with more values,
    each value against all others is an attribute. An attribute is left out if an attribute of another factor predicts more than
    20% of its entropy: its second code may be the first code of the other. Attributes of fewer than 30 images, or of all but
    fewer than 30, are left out too. With a latent of one dimension the second AUROC is that of chance, 0.5.
    """
    has, factor = _attributes(factors)
    used = _largest_proxy(has, factor) <= PROXY
    aurocs = _aurocs(codes, has[:, used])
    chance = np.full((1, aurocs.shape[1]), 0.5)
    second, first = np.sort(np.concatenate([chance, aurocs]), axis=0)[-2:]
    captured = first >= CAPTURED
    return TAD(float(np.sum((first - second)[captured])), int(captured.sum()), int(used.sum()))


def _attributes(factors: Integer[np.ndarray, "n factors"]) -> tuple[Binary, Integer[np.ndarray, "attributes"]]:
    """Return (attributes, 0 or 1, that are not rare; the number of each attribute's factor)."""
    columns, numbers = [np.empty((len(factors), 0))], []
    for number, factor in enumerate(factors.T):
        values = np.unique(factor)
        for value in values if len(values) > 2 else values[1:]:
            has = factor == value
            if MIN_IMAGES <= has.sum() <= len(has) - MIN_IMAGES:
                columns.append(has[:, None])
                numbers.append(number)
    return np.concatenate(columns, axis=1, dtype=np.float64), np.array(numbers, np.int64)


def _largest_proxy(has: Binary, factor: Integer[np.ndarray, "attributes"]) -> Float[np.ndarray, "attributes"]:
    """Return the largest mutual information with an attribute of another factor, as a part of each attribute's entropy."""
    p, both = has.mean(axis=0), has.T @ has / len(has)
    # [i, j]: the probability of both attributes, of j only, of i only, and of neither.
    only_j = p[None, :] - both
    only_i, neither = only_j.T, 1 - p[:, None] - only_j
    cases = [(both, p, p), (only_j, 1 - p, p), (only_i, p, 1 - p), (neither, 1 - p, 1 - p)]
    information = sum(rel_entr(np.maximum(joint, 0), np.outer(a, b)) for joint, a, b in cases)
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    others = np.where(factor[:, None] != factor[None, :], information, 0.0)
    return others.max(axis=1, initial=0.0) / entropy


def _aurocs(codes: Float[np.ndarray, "n latent"], has: Binary) -> Float[np.ndarray, "latent attributes"]:
    """Return the AUROC of each code, in the better direction, from sums of ranks (Mann & Whitney 1947)."""
    positives = has.sum(axis=0)[None, :]
    beaten = rankdata(codes, axis=0).T @ has - positives * (positives + 1) / 2
    auroc = beaten / (positives * (len(has) - positives))
    return np.maximum(auroc, 1 - auroc)
