"""The total AUROC difference of NashAE (Yeats et al. 2022, arXiv:2209.10677): is an attribute told by one code, and by no other?

As its authors compute it, with two additions for data that are not CelebA: factors of more than two values, and a limit on how
rare an attribute may be. It finds attributes that one threshold on one code tells, in whichever direction.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from scipy.special import rel_entr
from scipy.stats import rankdata

# An attribute is captured from this AUROC on; a proxy of it tells more than this part of its entropy.
CAPTURED, PROXY = 0.75, 0.2
# With so few images of a kind, the AUROC of chance is 0.5 with deviation 1 / sqrt(12 * 30) = 0.05, and 0.75 is far from it.
RARE = 30

Binary = Float[np.ndarray, "n attributes"]


class TAD(NamedTuple):
    """total: the sum over the captured attributes, of which there are `captured` out of `attributes`."""

    total: float
    captured: int
    attributes: int


def tad(codes: Float[np.ndarray, "n latent"], factors: Integer[np.ndarray, "n factors"]) -> TAD:
    """Each captured attribute, one whose best code has an AUROC of 0.75 or more, adds by how much that beats the second best.

    The paper's attributes are binary. Of a factor with more values, each against all the others is one. Attributes of which
    one of another factor tells more than 20% of the entropy are left out: their second code may be the other's first. So are
    those with fewer than 30 images, or all but 30. A latent of one dimension has a second code that knows nothing.
    """
    has, factor = _attributes(factors)
    known = _told(has, factor) <= PROXY
    aurocs = _aurocs(codes, has[:, known])
    chance = np.full((1, aurocs.shape[1]), 0.5)
    second, first = np.sort(np.concatenate([chance, aurocs]), axis=0)[-2:]
    captured = first >= CAPTURED
    return TAD(float(np.sum((first - second)[captured])), int(captured.sum()), int(known.sum()))


def _attributes(factors: Integer[np.ndarray, "n factors"]) -> tuple[Binary, Integer[np.ndarray, "attributes"]]:
    """Attributes, 0 or 1, that are not rare, and the number of the factor that each comes from."""
    columns, of = [np.empty((len(factors), 0))], []
    for number, factor in enumerate(factors.T):
        values = np.unique(factor)
        for value in values if len(values) > 2 else values[1:]:
            has = factor == value
            if RARE <= has.sum() <= len(has) - RARE:
                columns.append(has[:, None])
                of.append(number)
    return np.concatenate(columns, axis=1, dtype=np.float64), np.array(of, np.int64)


def _told(has: Binary, factor: Integer[np.ndarray, "attributes"]) -> Float[np.ndarray, "attributes"]:
    """The largest part of each attribute's entropy that an attribute of another factor tells."""
    p, both = has.mean(axis=0), has.T @ has / len(has)
    # [i, j]: it has j, and i or not; it has i, and not j; it has neither.
    only_j = p[None, :] - both
    only_i, neither = only_j.T, 1 - p[:, None] - only_j
    cases = [(both, p, p), (only_j, 1 - p, p), (only_i, p, 1 - p), (neither, 1 - p, 1 - p)]
    information = sum(rel_entr(np.maximum(joint, 0), np.outer(a, b)) for joint, a, b in cases)
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    others = np.where(factor[:, None] != factor[None, :], information, 0.0)
    return others.max(axis=1, initial=0.0) / entropy


def _aurocs(codes: Float[np.ndarray, "n latent"], has: Binary) -> Float[np.ndarray, "latent attributes"]:
    """Of each code, in whichever direction is better, as sums of ranks (Mann & Whitney 1947)."""
    with_it = has.sum(axis=0)[None, :]
    beaten = rankdata(codes, axis=0).T @ has - with_it * (with_it + 1) / 2
    auroc = beaten / (with_it * (len(has) - with_it))
    return np.maximum(auroc, 1 - auroc)
