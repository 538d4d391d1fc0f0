"""Linear probes: the accuracy of a linear classifier on the latent codes of test images (Alain & Bengio 2016, arXiv:1610.01644)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sde_vae.errors import BadInput

Codes = Float[np.ndarray, "n latent"]
Labels = Integer[np.ndarray, "n"]

# An upper limit: the solver stops earlier, when it has converged.
MAX_ITERATIONS = 10_000
JACKKNIFE_GROUPS = 20


class Right(NamedTuple):
    """Whether each test image is labelled correctly, by the probe and by the most common training label."""

    probe: Bool[np.ndarray, "n"]
    majority: Bool[np.ndarray, "n"]


def fit(codes: Codes, labels: Labels) -> Pipeline:
    """Fit a logistic regression of standardised codes, with scikit-learn's ridge (C = 1). It is deterministic.

    Raises BadInput if all labels are equal.
    """
    if np.all(labels == labels[0]):
        raise BadInput(f"labels: expected at least two different ones, got only {labels[0]}; leave this attribute out")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MAX_ITERATIONS))
    return probe.fit(np.asarray(codes, np.float64), labels)


def right(
    train_codes: Codes, train_labels: Labels, codes: Float[np.ndarray, "m latent"], labels: Integer[np.ndarray, "m"]
) -> Right:
    """Fit a probe to the training codes and test it. The accuracies are the means of the results.

    A label that no training image has is never predicted.
    """
    values, counts = np.unique(train_labels, return_counts=True)
    found = fit(train_codes, train_labels).predict(np.asarray(codes, np.float64))
    return Right(found == labels, labels == values[np.argmax(counts)])


def scores(train_codes: Codes, train_labels: Labels, codes: Float[np.ndarray, "m latent"]) -> Float[np.ndarray, "m"]:
    """Return the probe's log-odds of label 1, for labels 0 and 1: [m]."""
    return fit(train_codes, train_labels).decision_function(np.asarray(codes, np.float64))


def average_precision(labels: Labels, scores: Float[np.ndarray, "n"]) -> float:
    """Return the average precision of scores for labels 0 and 1: the mean of the precision at each 1, by falling score.

    Scores without information have the prevalence, the mean of the labels. NaN if there is no label 1.

    >>> average_precision(np.array([0, 1, 1]), np.array([0.1, 0.8, 0.9]))
    1.0
    """
    return float(average_precision_score(labels, scores)) if labels.any() else float("nan")


def jackknife(statistic: Callable[[np.ndarray], float], n: int) -> float:
    """Return the standard error of statistic(rows) over n images by the delete-a-group jackknife (Shao & Wu 1989).

    It serves for statistics that are not a mean over images. There are 20 groups, each of every 20th image. NaN for fewer than
    two images.
    """
    groups = min(JACKKNIFE_GROUPS, n)
    if groups < 2:
        return float("nan")
    rows = np.arange(n)
    without = np.array([statistic(rows[rows % groups != g]) for g in range(groups)])
    return float(np.sqrt((groups - 1) / groups * np.sum(np.square(without - without.mean()))))
