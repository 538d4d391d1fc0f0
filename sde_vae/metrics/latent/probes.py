"""Linear probes: what a linear classifier finds in the codes of images it has not seen (Alain & Bengio 2016, arXiv:1610.01644)."""

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

# Far more than it takes: it stops when it has converged.
ITERATIONS = 10_000
GROUPS = 20


class Right(NamedTuple):
    """Which of the test images are labelled rightly, by the probe and by the label that most training images have."""

    probe: Bool[np.ndarray, "n"]
    majority: Bool[np.ndarray, "n"]


def fit(codes: Codes, labels: Labels) -> Pipeline:
    """Standardised codes, then logistic regression with scikit-learn's ridge (C = 1): deterministic.

    Raises BadInput if the labels are all the same.
    """
    if np.all(labels == labels[0]):
        raise BadInput(f"labels: expected at least two different ones, got only {labels[0]}; leave this attribute out")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS))
    return probe.fit(np.asarray(codes, np.float64), labels)


def right(
    train_codes: Codes, train_labels: Labels, codes: Float[np.ndarray, "m latent"], labels: Integer[np.ndarray, "m"]
) -> Right:
    """Accuracies are the means. Labels that no training image has are never right."""
    values, counts = np.unique(train_labels, return_counts=True)
    found = fit(train_codes, train_labels).predict(np.asarray(codes, np.float64))
    return Right(found == labels, labels == values[np.argmax(counts)])


def scores(train_codes: Codes, train_labels: Labels, codes: Float[np.ndarray, "m latent"]) -> Float[np.ndarray, "m"]:
    """Of labels 0 and 1: the log-odds of 1, as the probe sees them."""
    return fit(train_codes, train_labels).decision_function(np.asarray(codes, np.float64))


def average_precision(labels: Labels, scores: Float[np.ndarray, "n"]) -> float:
    """Of labels 0 and 1: the precision at each 1, in the order of falling scores, averaged. NaN where there is no 1.

    Scores that know nothing have the prevalence, the mean of the labels.
    """
    return float(average_precision_score(labels, scores)) if labels.any() else float("nan")


def jackknife(statistic: Callable[[np.ndarray], float], n: int) -> float:
    """The standard error of statistic(rows) over n images: the delete-a-group jackknife (Shao & Wu 1989), with 20 groups.

    For figures that are not a mean over images. The groups are every 20th image; NaN for fewer than two images.
    """
    groups = min(GROUPS, n)
    if groups < 2:
        return float("nan")
    rows = np.arange(n)
    without = np.array([statistic(rows[rows % groups != g]) for g in range(groups)])
    return float(np.sqrt((groups - 1) / groups * np.sum(np.square(without - without.mean()))))
