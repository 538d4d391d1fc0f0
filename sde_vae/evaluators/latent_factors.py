"""What latent codes tell of the attributes of images: linear probes, DCI, MIG and TAD.

Probes and forests are fitted to the codes of training images and evaluated on those of the test images.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sde_vae.data.dataset import evenly_spaced_index
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.evaluators.context import Attributes, EvalContext
from sde_vae.metrics.image.distances import standard_error
from sde_vae.metrics.latent import probes, statistics
from sde_vae.metrics.latent.disentanglement import DCI, dci, mig
from sde_vae.metrics.latent.tad import tad
from sde_vae.reporting import plots
from sde_vae.reporting.plots import HeatMap

# An attribute with more values, or with fractions, is a number and not a class.
MAX_CLASSES = 64
# A factor has at least so many training images with another than the commonest value.
MIN_OTHERS = 30
Named = Iterator[tuple[str, float]]


class Labels(NamedTuple):
    """One attribute as classes 0, 1, ... of the training images; -1 for test images whose value no training image has."""

    name: str
    classes: int
    train: np.ndarray
    test: np.ndarray


def class_labels(attributes: Attributes) -> list[Labels]:
    """Return the attributes that are classes of the training images."""
    columns = zip(attributes.names, attributes.train.T, attributes.test.T, strict=True)
    return [_labels(name, train, test) for name, train, test in columns if are_classes(train)]


def are_classes(values: np.ndarray) -> bool:
    """Return whether an attribute's values [n] are classes: 2 to MAX_CLASSES whole numbers. Fractions are measurements.

    >>> are_classes(np.array([0, 1, 1])), are_classes(np.array([0.5, 1.0, 1.0]))
    (True, False)
    """
    kinds = np.unique(values)
    return 2 <= len(kinds) <= MAX_CLASSES and bool(np.all(kinds == np.round(kinds)))


def attribute_metrics(
    context: EvalContext, codes: np.ndarray, q: DiagGaussian, labels: list[Labels], forests: int
) -> Named:
    """Yield latent/* of attributes, from the codes [n, latent] of the training images and the posteriors of the test images."""
    yield from probe_accuracies(codes, q.mean, [a for a in labels if a.classes > 2])
    # An attribute with one value only among the test images cannot be detected.
    binary = [a for a in labels if a.classes == 2 and len(np.unique(a.test)) > 1]
    yield from probe_average_precisions(codes, q.mean, binary)
    rows = evenly_spaced_index(len(codes), forests)
    factors = [a for a in labels if np.bincount(a.train[rows]).max() <= len(rows) - MIN_OTHERS]
    if len(factors) > 1:
        yield from factor_metrics(context, codes, q, rows, factors)


def probe_accuracies(train: np.ndarray, test: np.ndarray, labels: list[Labels]) -> Named:
    """Yield the accuracy of a linear probe for each attribute, that of the commonest value, and the means over the attributes."""
    found = {a.name: probes.right(train, a.train, test, a.test) for a in labels}
    for name in probes.Right._fields:
        metric = {"probe": "latent/probe_accuracy", "majority": "latent/probe_majority"}[name]
        correct = {attribute: getattr(right, name).astype(np.float64) for attribute, right in found.items()}
        for attribute, values in correct.items():
            yield f"{metric}/{attribute}", float(values.mean())
            yield f"{metric}/{attribute}_stderr", standard_error(values)
        if correct:
            mean = np.mean(list(correct.values()), axis=0)
            yield metric, float(mean.mean())
            yield f"{metric}_stderr", standard_error(mean)


def probe_average_precisions(train: np.ndarray, test: np.ndarray, labels: list[Labels]) -> Named:
    """Yield the average precision of a linear probe for the larger value of each binary attribute, its prevalence, and the means."""
    positive = {a.name: (a.test == 1).astype(np.int64) for a in labels}
    scores = {a.name: probes.scores(train, a.train, test) for a in labels}

    def precision(names: list[str], rows: np.ndarray) -> float:
        return float(np.mean([probes.average_precision(positive[name][rows], scores[name][rows]) for name in names]))

    all_rows = np.arange(len(test))
    groups = {f"/{name}": [name] for name in positive} | ({"": list(positive)} if positive else {})
    for suffix, names in groups.items():
        yield f"latent/probe_average_precision{suffix}", precision(names, all_rows)
        error = probes.jackknife(lambda rows, names=names: precision(names, rows), len(test))
        yield f"latent/probe_average_precision{suffix}_stderr", error
        yield f"latent/probe_prevalence{suffix}", float(np.mean([positive[name].mean() for name in names]))


def factor_metrics(
    context: EvalContext, train: np.ndarray, q: DiagGaussian, rows: np.ndarray, labels: list[Labels]
) -> Named:
    """Yield DCI, with forests fitted to the training images `rows`; and MIG and TAD of all training images, to which nothing is fitted."""
    factors, test_factors = (
        np.stack(columns, axis=1) for columns in zip(*((a.train, a.test) for a in labels), strict=True)
    )
    found = dci(train[rows], factors[rows], q.mean, test_factors)
    plot_factors(context, q, [a.name for a in labels], found)
    for name in ("disentanglement", "completeness", "informativeness", "majority"):
        yield f"latent/dci_{name}", getattr(found, name)
    yield "latent/mig", mig(train, factors)
    yield "latent/mig_stderr", probes.jackknife(lambda rows: mig(train[rows], factors[rows]), len(train))
    detected = tad(train, factors)
    yield "latent/tad", detected.total
    yield "latent/tad_stderr", probes.jackknife(lambda rows: tad(train[rows], factors[rows]).total, len(train))
    yield "latent/tad_captured", float(detected.captured)
    yield "latent/tad_attributes", float(detected.attributes)


def plot_factors(context: EvalContext, q: DiagGaussian, names: list[str], found: DCI) -> None:
    """Plot DCI's importance of each dimension for each factor, in the order of `plot_latents`, numbered as in traversals."""
    order = np.argsort(-statistics.kl_per_dimension(q.mean, q.log_var))
    scores = ", ".join(f"{n} {getattr(found, n):.2f}" for n in ("disentanglement", "completeness", "informativeness"))
    heat_map = HeatMap(
        title=f"DCI: {scores}",
        x="number of the dimension, the largest KL first",
        colour="importance",
        rows=[name.replace("_", " ") for name in names],
        columns=[str(k + 1) for k in order],
        values=found.importance[order].T,
    )
    plots.heat_map(heat_map, context.figures / "factors.png")


def _labels(name: str, train: np.ndarray, test: np.ndarray) -> Labels:
    values, train_labels = np.unique(train, return_inverse=True)
    place = np.minimum(np.searchsorted(values, test), len(values) - 1)
    return Labels(name, len(values), train_labels, np.where(values[place] == test, place, -1))
